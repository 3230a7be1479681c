//! Sender and recipient of a mail, as MAIL and RCPT name them.

use super::failure::{Cause, Failure};
use super::stage::Stage;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::borrow::Cow;
use std::fmt;

/// One sender and one recipient. It holds personal data, so it has no `Debug`.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// The address that gets notices of failed delivery.
    pub sender: &'a str,
    /// The address that gets the mail.
    pub recipient: &'a str,
}

/// A mail that can be sent: nothing in its addresses ends a command early.
pub(super) struct Mail<'a> {
    pub(super) sender: Path<'a>,
    pub(super) recipient: Path<'a>,
    /// Without dot-stuffing and terminator.
    pub(super) message: &'a [u8],
    pub(super) is_8bit: bool,
}

impl<'a> Mail<'a> {
    pub(super) fn new(envelope: Envelope<'a>, message: &'a [u8]) -> Result<Self, Failure> {
        let path = |stage, address| Path::new(address).ok_or(Failure::new(stage, Cause::InvalidAddress));
        Ok(Self {
            sender: path(Stage::Mail, envelope.sender)?,
            recipient: path(Stage::Rcpt, envelope.recipient)?,
            message,
            is_8bit: !message.is_ascii(),
        })
    }
}

/// An address whose domain consists of A-labels. Its `Display` is what stands between the angle brackets.
pub(super) struct Path<'a> {
    local: &'a str,
    domain: Cow<'a, str>,
}

impl<'a> Path<'a> {
    fn new(address: &'a str) -> Option<Self> {
        let (local, domain) = address.rsplit_once('@')?;
        let ends_a_command = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>');
        if local.is_empty() || local.contains(ends_a_command) {
            return None;
        }
        Some(Self { local, domain: ascii_domain(domain)? })
    }

    /// Whether it can be sent only with SMTPUTF8.
    pub(super) fn needs_utf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// The domain in A-labels. A domain in ASCII, or an address literal, stays as it is if it is harmless in a command.
pub(super) fn ascii_domain(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        return (!domain.is_empty() && domain.bytes().all(is_harmless)).then_some(Cow::Borrowed(domain));
    }
    Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Verify).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(address: &str) -> Option<String> {
        Path::new(address).map(|path| path.to_string())
    }

    #[test]
    fn domains_become_a_labels_and_local_parts_stay() {
        for (address, wire) in [
            ("a.b+c@Example.com", "a.b+c@Example.com"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("grüße@пошта.укр", "grüße@xn--80a1acn3a.xn--j1amh"),
            ("a@[127.0.0.1]", "a@[127.0.0.1]"),
            ("a@[IPv6:::1]", "a@[IPv6:::1]"),
            ("\"a@b\"@c.example", "\"a@b\"@c.example"),
        ] {
            assert_eq!(path(address).as_deref(), Some(wire));
        }
    }

    #[test]
    fn what_would_end_a_command_is_refused() {
        for address in [
            "",
            "@",
            "a",
            "a@",
            "@b",
            "a b@c",
            "a@b c",
            "a>@b",
            "a@b>",
            "<a@b",
            "a\r\n@b",
            "a@b\r\nRCPT TO:<c@d>",
            "a@b\0",
            "a\u{85}@b",
            "a\u{2028}@b",
            "a@b\u{ff1e}ü",
            "a@ü b",
            "a@ü\r\n",
            "a@ü..b",
            "a@b,c",
            "a@b>ü",
        ] {
            assert_eq!(path(address), None, "{address:?}");
        }
    }

    proptest! {
        #[test]
        fn no_address_ends_a_command(address in "\\PC{0,4}[a<>\r\n\u{ff1e}ü\u{2028} ]{0,3}@[a<>\r\n\u{ff1e}ü\u{2028} .]{0,4}") {
            if let Some(path) = path(&address) {
                prop_assert!(!path.contains(|c: char| c.is_control() || c.is_whitespace() || c == '<' || c == '>'));
            }
        }
    }
}
