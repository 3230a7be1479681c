//! Whether Pydantic's `EmailStr` is certain to accept an address and to leave it as it is.
//!
//! Borrowed facts: the Python library email-validator 2.0 to 2.4 with Pydantic's settings (no DNS look-up), files
//! `syntax.py`, `rfc_constants.py` and `__init__.py`. Its limits are those of RFC 5321 and RFC 1035.
//! What an application changes in that library's global lists is not seen here.

/// Longest address, in bytes.
const ADDRESS_MAX: usize = 254;
/// Longest part before the @-sign, in bytes.
const LOCAL_PART_MAX: usize = 64;
/// Longest part of a domain between two dots, in bytes.
const LABEL_MAX: usize = 63;

/// Top-level domains that the library refuses with all that is below them (`SPECIAL_USE_DOMAIN_NAMES`).
const SPECIAL_USE: [&[u8]; 6] = [b"arpa", b"invalid", b"local", b"localhost", b"onion", b"test"];

/// Mailboxes that the library writes in lower case (`CASE_INSENSITIVE_MAILBOX_NAMES`, RFC 2142).
/// Before 2.1.1 it had `marking` where `marketing` was meant.
const ROLES: [&[u8]; 16] = [
    b"info",
    b"marketing",
    b"marking",
    b"sales",
    b"support",
    b"abuse",
    b"noc",
    b"security",
    b"postmaster",
    b"hostmaster",
    b"usenet",
    b"news",
    b"webmaster",
    b"www",
    b"uucp",
    b"ftp",
];

/// Whether `EmailStr` is certain to return `address` unchanged. `false`: the Pydantic model has to decide.
///
/// Taken are letters, digits, `_`, `+`, `-` and single inner dots before the @-sign, lower-case host names after it.
pub fn is_certainly_valid(address: &str) -> bool {
    if address.len() > ADDRESS_MAX {
        return false;
    }
    match address.split_once('@') {
        Some((local_part, domain)) => is_plain_local_part(local_part.as_bytes()) && is_plain_domain(domain.as_bytes()),
        None => false,
    }
}

fn is_plain_local_part(local_part: &[u8]) -> bool {
    local_part.len() <= LOCAL_PART_MAX
        && local_part.split(|byte| *byte == b'.').all(is_atom)
        && !is_role_to_lower(local_part)
}

fn is_atom(atom: &[u8]) -> bool {
    !atom.is_empty() && atom.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-'))
}

fn is_role_to_lower(local_part: &[u8]) -> bool {
    local_part.iter().any(u8::is_ascii_uppercase) && ROLES.iter().any(|role| role.eq_ignore_ascii_case(local_part))
}

fn is_plain_domain(domain: &[u8]) -> bool {
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let has_top_level = labels.next().is_some_and(is_top_level);
    let has_second_level = labels.next().is_some_and(is_label);
    has_top_level && has_second_level && labels.all(is_label)
}

fn is_top_level(label: &[u8]) -> bool {
    (2..=LABEL_MAX).contains(&label.len()) && label.iter().all(u8::is_ascii_lowercase) && !SPECIAL_USE.contains(&label)
}

fn is_label(label: &[u8]) -> bool {
    label.len() <= LABEL_MAX
        && label.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !matches!(label, [] | [b'-', ..] | [.., b'-'])
        // "xn--" would be decoded, others are reserved (RFC 5890).
        && !matches!(label, [_, _, b'-', b'-', ..])
}

#[cfg(test)]
mod tests {
    use super::is_certainly_valid;

    #[test]
    fn takes_ordinary_addresses() {
        for address in [
            "anna@example.org",
            "a@b.co",
            "Anna.Berg+news@mail.example.co.uk",
            "user_1@sub-domain.example.com",
            "-_+@1a.b2.travel",
            "user@123.com",
            "user@a-b--c.de",
            "user@mail.local.example.org",
            "user@latest.contest",
            "info@example.org",
            "Information@example.org",
        ] {
            assert!(is_certainly_valid(address), "{address}");
        }
    }

    #[test]
    fn leaves_the_rest_to_the_model() {
        for address in [
            "",
            "@",
            "anna",
            "anna@",
            "@example.org",
            "anna@@example.org",
            "anna@example@org.org",
            "anna@localhost",
            "anna@org",
            "anna@.org",
            "anna@example..org",
            "anna@example.org.",
            ".anna@example.org",
            "anna.@example.org",
            "an..na@example.org",
            "an na@example.org",
            "anna@example.org ",
            "anna@example.org\n",
            "Anna <anna@example.org>",
            "\"anna\"@example.org",
            "anna!@example.org",
            "ännä@example.org",
            "anna@exämple.org",
            "anna@xn--exmple-cua.org",
            "anna@ab--c.org",
            "anna@-example.org",
            "anna@example-.org",
            "anna@ex_ample.org",
            "anna@Example.org",
            "anna@example.ORG",
            "anna@example.o",
            "anna@example.c0m",
            "anna@127.0.0.1",
            "anna@[127.0.0.1]",
        ] {
            assert!(!is_certainly_valid(address), "{address}");
        }
    }

    #[test]
    fn leaves_special_use_domains_to_the_model() {
        for top_level in ["arpa", "invalid", "local", "localhost", "onion", "test"] {
            assert!(!is_certainly_valid(&format!("anna@example.{top_level}")), "{top_level}");
            assert!(!is_certainly_valid(&format!("anna@mail.example.{top_level}")), "{top_level}");
        }
    }

    #[test]
    fn leaves_role_mailboxes_in_upper_case_to_the_model() {
        for role in ["Info", "iNFO", "MARKETING", "Marking", "postMaster", "WWW", "Ftp"] {
            assert!(!is_certainly_valid(&format!("{role}@example.org")), "{role}");
            assert!(is_certainly_valid(&format!("{role}.x@example.org")), "{role}");
            assert!(is_certainly_valid(&format!("{}@example.org", role.to_lowercase())), "{role}");
        }
    }

    #[test]
    fn knows_the_longest_parts() {
        let label = |length| "d".repeat(length);
        for (local_part, domain, valid) in [
            (64, "example.org".to_owned(), true),
            (65, "example.org".to_owned(), false),
            (1, format!("{}.org", label(63)), true),
            (1, format!("{}.org", label(64)), false),
            (1, format!("a.{}", label(63)), true),
            (1, format!("a.{}", label(64)), false),
            (1, format!("{0}.{0}.{0}.{1}.com", label(63), label(56)), true),
            (1, format!("{0}.{0}.{0}.{1}.com", label(63), label(57)), false),
        ] {
            let address = format!("{}@{domain}", "l".repeat(local_part));
            assert_eq!(is_certainly_valid(&address), valid, "{address} of {} bytes", address.len());
        }
    }
}
