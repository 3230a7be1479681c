//! What may stand in a header.

use std::fmt::Write;

use super::address;

/// A longer word cannot be folded, and a line of a message has at most 998 bytes.
const LONGEST_WORD: usize = 900;

/// Headers that only [`build`](super::build) writes.
const RESERVED: [&str; 7] = ["bcc", "cc", "date", "from", "message-id", "subject", "to"];
/// Headers of the MIME structure.
const MIME: [&str; 2] = ["mime-", "content-"];

/// Why no message could be built. The text holds no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A control character, which could begin a header of its own.
    #[error("{0} has a control character")]
    ControlCharacter(&'static str),
    /// An address that is not one plain address.
    #[error("{0} is not one plain address")]
    Address(&'static str),
    /// A text that its header does not allow.
    #[error("{0} has characters that are not allowed there, or is empty")]
    Malformed(&'static str),
    /// A text that no line has room for.
    #[error("{0} is too long for a line")]
    TooLong(&'static str),
    /// A header that the worker writes itself.
    #[error("a header of the mail is one that the worker writes itself")]
    Reserved,
    /// There is nothing to send.
    #[error("the mail has neither a body nor an attachment")]
    Empty,
}

/// The text, if it may stand in a header; what is not ASCII will be encoded.
pub(super) fn text<'a>(what: &'static str, text: &'a str) -> Result<&'a str, BuildError> {
    if text.chars().any(char::is_control) {
        return Err(BuildError::ControlCharacter(what));
    }
    Ok(text)
}

/// The address with its domain in ASCII.
pub(super) fn address(what: &'static str, given: &str) -> Result<String, BuildError> {
    let address = address::to_header(text(what, given)?).ok_or(BuildError::Address(what))?;
    short(what, address)
}

/// The name of a further header, in lower case.
pub(super) fn name(name: &str) -> Result<String, BuildError> {
    let in_name = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if name.is_empty() || name.len() > 76 || !name.bytes().all(in_name) {
        return Err(BuildError::Malformed("the name of a header"));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || MIME.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(BuildError::Reserved);
    }
    Ok(lower)
}

/// A media type with its parameters.
pub(super) fn content_type(given: &str) -> Result<&str, BuildError> {
    const WHAT: &str = "the content type of an attachment";
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(allowed);
    let media_type = text(WHAT, given)?.split(';').next().unwrap_or_default().trim();
    let is_media_type = media_type.split_once('/').is_some_and(|(one, other)| is_token(one) && is_token(other));
    if !is_media_type || !given.is_ascii() {
        return Err(BuildError::Malformed(WHAT));
    }
    short(WHAT, given)
}

/// The name of an inline file in links, which goes between `<` and `>`.
pub(super) fn content_id(given: &str) -> Result<&str, BuildError> {
    const WHAT: &str = "the cid of an attachment";
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'<' && byte != b'>';
    if text(WHAT, given)?.is_empty() || !given.bytes().all(allowed) {
        return Err(BuildError::Malformed(WHAT));
    }
    short(WHAT, given)
}

/// An address of the web or of mail, which goes between `<` and `>`. What must not stand there is written as `%…`.
pub(super) fn url(what: &'static str, given: &str) -> Result<String, BuildError> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'<' && byte != b'>';
    let url = encode(text(what, given)?, '%', allowed);
    if url.is_empty() {
        return Err(BuildError::Malformed(what));
    }
    short(what, url)
}

/// The event id as the part of a `Message-ID` before the @-sign.
///
/// An id that is allowed there stays as it is. In others, what is not allowed is written as `=` and two digits.
pub(super) fn message_id(event_id: &str) -> Result<String, BuildError> {
    const WHAT: &str = "the event id";
    if text(WHAT, event_id)?.is_empty() {
        return Err(BuildError::Malformed(WHAT));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(allowed);
    if event_id.split('.').all(is_atom) {
        return short(WHAT, event_id.to_owned());
    }
    short(WHAT, encode(event_id, '=', |byte| allowed(byte) && byte != b'='))
}

fn encode(text: &str, sign: char, allowed: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if allowed(byte) {
            encoded.push(char::from(byte));
        } else {
            // A string takes any text.
            let _ = write!(encoded, "{sign}{byte:02X}");
        }
    }
    encoded
}

fn short<T: AsRef<str>>(what: &'static str, text: T) -> Result<T, BuildError> {
    if text.as_ref().len() > LONGEST_WORD {
        return Err(BuildError::TooLong(what));
    }
    Ok(text)
}
