//! Domains as the mail system takes them.

use std::borrow::Cow;

/// The domain with its labels as A-labels: `bücher.example` becomes `xn--bcher-kva.example`.
///
/// None if it cannot be one. A domain in ASCII stays as it is, also an address such as `[192.0.2.1]`.
pub fn to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        return Some(Cow::Borrowed(domain));
    }
    idna::domain_to_ascii(domain).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::to_ascii;

    #[test]
    fn writes_labels_as_a_labels() {
        assert_eq!(to_ascii("Bücher.example").as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(to_ascii("почта.укр").as_deref(), Some("xn--80a1acny.xn--j1amh"));
        assert_eq!(to_ascii("Example.org").as_deref(), Some("Example.org"));
        assert_eq!(to_ascii("[192.0.2.1]").as_deref(), Some("[192.0.2.1]"));
        assert_eq!(to_ascii("a\u{2024}\u{ad}\u{0}ü").as_deref(), None);
    }
}
