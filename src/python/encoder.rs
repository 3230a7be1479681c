//! The fast path: e-mail events that are certain to be valid, encoded without Pydantic.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::clock;
use super::late::{LargeTexts, LateJson};
use super::metadata::{self, NotEncoded};
use crate::email::event::is_type_name;
use crate::email::json::write_string;
use crate::email::{EmailEvent, EmailType};

/// A larger buffer is given back: threads live long, and huge events are rare.
const LARGEST_KEPT: usize = 1 << 20;

thread_local! {
    /// Events are encoded here: the buffer grows to the largest event, and is used again unless that was a huge one.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends an empty buffer. It is taken, not borrowed: Python code may run meanwhile, and publish as well.
pub(super) fn with_buffer<R>(use_buffer: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = BUFFER.take();
    buffer.clear();
    let result = use_buffer(&mut buffer);
    if buffer.capacity() <= LARGEST_KEPT {
        BUFFER.set(buffer);
    }
    result
}

/// The fields of an event as the caller gave them.
pub(super) struct Fields<'a, 'py> {
    pub(super) email_type: &'a str,
    pub(super) recipient: &'a Bound<'py, PyAny>,
    pub(super) username: &'a Bound<'py, PyAny>,
    pub(super) link: &'a Bound<'py, PyAny>,
    /// A `dict`, or nothing.
    pub(super) metadata: Option<&'a Bound<'py, PyAny>>,
}

impl<'a> Fields<'a, '_> {
    /// Appends the event as it goes over the wire, and returns its key. It stops at the first text that makes the event
    /// larger than `max_bytes`; `out` may hold a part of it then.
    pub(super) fn encode(&self, out: &mut Vec<u8>, max_bytes: usize) -> Result<&'a [u8], NotEncoded> {
        self.write(out, max_bytes, None)
    }

    /// The event as it is kept while it waits.
    pub(super) fn late(&self) -> Option<LateJson> {
        let mut late = LateJson::default();
        self.write(&mut late.rest, usize::MAX, Some(&mut late.texts)).ok()?;
        Some(late)
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        max_bytes: usize,
        mut large: Option<&mut LargeTexts>,
    ) -> Result<&'a [u8], NotEncoded> {
        let plain = |value| plain_text(value).ok_or(NotEncoded::Uncertain);
        let recipient = plain(self.recipient)?;
        let event = EmailEvent {
            email_type: self.email_type,
            recipient,
            username: plain(self.username)?,
            link: plain(self.link)?,
            timestamp: clock::now(self.recipient.py()).ok_or(NotEncoded::Uncertain)?,
        };
        if !event.is_certainly_valid() {
            return Err(NotEncoded::Uncertain);
        }
        if event.username.len().max(event.link.len()) > max_bytes {
            return Err(NotEncoded::TooLarge);
        }
        let link = self.link.cast::<PyString>().map_err(|_| NotEncoded::Uncertain)?;
        event.write_head(out);
        let is_kept = large.as_deref_mut().is_some_and(|large| large.keep(link, out.len()).unwrap_or(false));
        if !is_kept {
            write_string(out, event.link);
        }
        event.write_tail(out, |out| metadata::write(out, self.metadata, max_bytes, large))?;
        Ok(recipient.as_bytes())
    }
}

/// Any event as it is kept while it waits, if `metadata::write` is certain about it.
pub(super) fn late_mapping(event: &Bound<'_, PyAny>) -> Option<LateJson> {
    let mut late = LateJson::default();
    metadata::write(&mut late.rest, Some(event), usize::MAX, Some(&mut late.texts)).ok()?;
    Some(late)
}

/// The type that a plain `str` names.
pub(super) fn email_type(name: &Bound<'_, PyAny>) -> Option<EmailType> {
    EmailType::from_name(plain_text(name)?)
}

/// The name in a plain `str`, if a type of e-mail may have it.
pub(super) fn type_name<'a>(name: &'a Bound<'_, PyString>) -> Option<&'a str> {
    plain_text(name).filter(|name| is_type_name(name))
}

/// The text of a plain `str`; a subclass may mean something else, and a lone surrogate is no text.
fn plain_text<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value.cast_exact::<PyString>().ok()?.to_str().ok()
}
