//! One address in a header.

use super::domain::to_ascii;

/// The address with its domain in ASCII. None if it is not one plain address: it would change the meaning of the header.
pub(super) fn to_header(address: &str) -> Option<String> {
    let (local_part, domain) = address.rsplit_once('@')?;
    let ascii = to_ascii(domain)?;
    let is_local_part = is_plain(local_part) || is_quoted(local_part);
    let is_domain = match ascii.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']').is_some_and(is_plain),
        None => is_plain(&ascii),
    };
    (is_local_part && is_domain).then(|| format!("{local_part}@{ascii}"))
}

fn is_quoted(text: &str) -> bool {
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inside.is_some_and(|inside| !inside.is_empty() && !inside.contains(['"', '\\']))
}

fn is_plain(text: &str) -> bool {
    let special =
        |character: char| character.is_control() || character.is_whitespace() || "<>()[],;:\\\"@".contains(character);
    !text.is_empty() && !text.contains(special)
}
