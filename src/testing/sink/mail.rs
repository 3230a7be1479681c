//! A mail that the sink has accepted.

use std::borrow::Cow;

/// The envelope and the content, as the client sent them. It has no `Debug`: all of it is personal data.
pub(crate) struct ReceivedMail {
    /// The envelope's sender; empty for a bounce.
    pub(crate) sender: String,
    /// The envelope's recipients.
    pub(crate) recipients: Vec<String>,
    /// The content without dot-stuffing.
    pub(crate) raw: Vec<u8>,
}

/// The local part of a mail's Message-ID, which is the event's id in mails of the worker.
pub(crate) fn event_id(raw: &[u8]) -> Option<Cow<'_, str>> {
    let mut lines = raw.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty());
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked("message-id:".len())?;
        name.eq_ignore_ascii_case(b"message-id:").then_some(value.trim_ascii())
    })?;
    // A long id stands on the next line, behind the space of a folded header.
    let value = if value.is_empty() { lines.next()?.trim_ascii() } else { value };
    let id = value.strip_prefix(b"<")?;
    let local = id.split(|byte| matches!(byte, b'@' | b'>')).next()?;
    Some(String::from_utf8_lossy(local))
}
