//! Whether a name may stand in the header of an e-mail.

/// Whether `name` has no NUL, CR or LF, which would let its owner add headers to the e-mail (header injection).
pub fn is_clean(name: &str) -> bool {
    !name.bytes().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::is_clean;

    #[test]
    fn takes_any_other_text() {
        for name in ["", "Anna", "Zoë Müller-Lüdenscheidt", "李 😀", "tab\tand \u{7f}", "\u{85}\u{2028}"] {
            assert!(is_clean(name), "{name:?}");
        }
    }

    #[test]
    fn finds_what_ends_a_header_line() {
        for name in ["\0", "\r", "\n", "Anna\r\nBcc: eve@example.org", "Anna\n", "\rAnna", "A\0nna"] {
            assert!(!is_clean(name), "{name:?}");
        }
    }
}
