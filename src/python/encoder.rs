//! The fast path: e-mail events that are certain to be valid, encoded without Pydantic.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::metadata;
use crate::email::{EmailEvent, EmailType, Timestamp};

thread_local! {
    /// Where events are encoded: grows to the largest event and is used again.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends an empty buffer out. It is taken, not borrowed: Python code may run meanwhile, and publish as well.
pub fn with_buffer<R>(use_buffer: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = BUFFER.take();
    buffer.clear();
    let result = use_buffer(&mut buffer);
    BUFFER.set(buffer);
    result
}

/// The fields of an event as the caller gave them.
pub struct Fields<'a, 'py> {
    /// One of the four types.
    pub email_type: EmailType,
    /// Address, as given.
    pub recipient: &'a Bound<'py, PyAny>,
    /// Name to greet.
    pub username: &'a Bound<'py, PyAny>,
    /// Any text.
    pub link: &'a Bound<'py, PyAny>,
    /// A `dict`, or nothing.
    pub metadata: Option<&'a Bound<'py, PyAny>>,
}

impl<'a> Fields<'a, '_> {
    /// Appends the event as it goes over the wire, and returns its key; None when Pydantic has to decide. Then `out` may
    /// hold a part of it.
    pub fn encode(&self, out: &mut Vec<u8>) -> Option<&'a [u8]> {
        let recipient = plain_text(self.recipient)?;
        let event = EmailEvent {
            email_type: self.email_type,
            recipient,
            username: plain_text(self.username)?,
            link: plain_text(self.link)?,
            timestamp: Timestamp::now(),
        };
        if !event.is_certainly_valid() {
            return None;
        }
        event.write_json(out, |out| metadata::write(out, self.metadata)).ok()?;
        Some(recipient.as_bytes())
    }
}

/// The type that a plain `str` names.
pub fn email_type(name: &Bound<'_, PyAny>) -> Option<EmailType> {
    EmailType::from_name(plain_text(name)?)
}

/// The text of a plain `str`; a subclass may mean something else, and a lone surrogate is no text.
fn plain_text<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value.cast_exact::<PyString>().ok()?.to_str().ok()
}
