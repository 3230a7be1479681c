//! Many events that are published together.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::encoder::{self, Fields};
use super::late::{LateJson, LatePart};
use super::metadata::NotEncoded;
use crate::email::EmailType;
use crate::producer::{LateValue, LARGE};

/// E-mail events, encoded one after the other.
#[pyclass(module = "kafka_email._core")]
pub(super) struct Batch {
    /// Bytes that an event may have.
    max_event_bytes: usize,
    /// Key of each, and what is here of its value. Events that wait share it.
    bytes: Arc<Vec<u8>>,
    entries: Vec<Entry>,
}

struct Entry {
    key_end: usize,
    value_end: usize,
    email_type: EmailType,
    form: Form,
}

/// How the value of an event is kept.
#[derive(Clone)]
enum Form {
    /// Among the bytes of the batch.
    Encoded,
    /// Without its large texts: one text often goes to many events.
    Late(Arc<LateJson>),
    /// Not at all. Each event has a result of its own, also one that is too large, so it has a place.
    TooLarge,
}

/// Key, value and type of an event.
type Parts<'a> = (Option<&'a [u8]>, Cow<'a, [u8]>, &'static str);

/// One event of a batch.
pub(super) struct Encoded<'a> {
    pub(super) key: &'a [u8],
    pub(super) email_type: EmailType,
    form: Form,
    bytes: &'a Arc<Vec<u8>>,
    start: usize,
    end: usize,
}

impl<'a> Encoded<'a> {
    /// The value, unless it is too large.
    pub(super) fn value(&self) -> Option<Cow<'a, [u8]>> {
        match &self.form {
            Form::Encoded => self.bytes.get(self.start..self.end).map(Cow::Borrowed),
            Form::Late(late) => {
                let mut value = Vec::new();
                late.write(&mut value);
                Some(Cow::Owned(value))
            }
            Form::TooLarge => None,
        }
    }

    /// The value as it is kept while it waits.
    pub(super) fn keep(&self) -> Box<dyn LateValue> {
        match &self.form {
            Form::Late(late) => Box::new(Arc::clone(late)),
            Form::Encoded | Form::TooLarge => {
                Box::new(LatePart { bytes: Arc::clone(self.bytes), start: self.start, end: self.end })
            }
        }
    }
}

impl Batch {
    /// The events from this index on.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = Encoded<'_>> {
        let before = first.checked_sub(1).and_then(|last| self.entries.get(last));
        let mut begin = before.map_or(0, |entry| entry.value_end);
        self.entries.iter().skip(first).map(move |entry| {
            let key = self.bytes.get(begin..entry.key_end).unwrap_or_default();
            let (start, end) = (entry.key_end, entry.value_end);
            begin = end;
            Encoded { key, email_type: entry.email_type, form: entry.form.clone(), bytes: &self.bytes, start, end }
        })
    }

    fn append(&mut self, key: &[u8], value: &[u8], email_type: EmailType) {
        if value.len() > self.max_event_bytes {
            self.push(&[], &[], email_type, Form::TooLarge);
        } else {
            self.push(key, value, email_type, Form::Encoded);
        }
    }

    fn push(&mut self, key: &[u8], value: &[u8], email_type: EmailType, form: Form) {
        let bytes = Arc::make_mut(&mut self.bytes);
        bytes.extend_from_slice(key);
        let key_end = bytes.len();
        bytes.extend_from_slice(value);
        self.entries.push(Entry { key_end, value_end: bytes.len(), email_type, form });
    }

    fn encode(&mut self, event: &Bound<'_, PyAny>, buffer: &mut Vec<u8>) -> PyResult<Option<()>> {
        let (py, Ok(event)) = (event.py(), event.cast_exact::<PyDict>()) else { return Ok(None) };
        let (link, metadata) = (event.get_item(intern!(py, "link"))?, event.get_item(intern!(py, "metadata"))?);
        let required = (
            event.get_item(intern!(py, "email_type"))?,
            event.get_item(intern!(py, "recipient"))?,
            event.get_item(intern!(py, "username"))?,
        );
        let (Some(email_type), Some(recipient), Some(username)) = required else { return Ok(None) };
        // Any other key: leave the event to Pydantic.
        if event.len() != 3 + usize::from(link.is_some()) + usize::from(metadata.is_some()) {
            return Ok(None);
        }
        let Some(email_type) = encoder::email_type(&email_type) else { return Ok(None) };
        if link.is_none() && email_type != EmailType::Welcome {
            return Ok(None);
        }
        let no_link = PyString::intern(py, "").into_any();
        let fields = Fields {
            email_type: email_type.as_str(),
            recipient: &recipient,
            username: &username,
            link: link.as_ref().unwrap_or(&no_link),
            metadata: metadata.as_ref(),
        };
        buffer.clear();
        match fields.encode(buffer, self.max_event_bytes) {
            Ok(key) => match late(&fields, buffer.len()) {
                Some(late) => self.push(key, &[], email_type, Form::Late(Arc::new(late))),
                None => self.append(key, buffer, email_type),
            },
            Err(NotEncoded::TooLarge) => self.push(&[], &[], email_type, Form::TooLarge),
            Err(NotEncoded::Uncertain) => return Ok(None),
        }
        Ok(Some(()))
    }
}

/// A large event without its large texts, if it has some.
fn late(fields: &Fields<'_, '_>, size: usize) -> Option<LateJson> {
    if size < LARGE {
        return None;
    }
    fields.late().filter(LateJson::saves_copies)
}

#[pymethods]
impl Batch {
    #[new]
    fn new(max_event_bytes: usize) -> Self {
        Self { max_event_bytes, bytes: Arc::default(), entries: Vec::new() }
    }

    /// How many events it holds.
    pub(super) fn __len__(&self) -> usize {
        self.entries.len()
    }

    /// Key, value and type of one of them.
    fn __getitem__(&self, index: usize) -> PyResult<Parts<'_>> {
        let event = self.from(index).next().ok_or_else(|| PyIndexError::new_err("no such event in the batch"))?;
        let key = (!event.key.is_empty()).then_some(event.key);
        Ok((key, event.value().unwrap_or_default(), event.email_type.as_str()))
    }

    /// Encodes the events from the index `len(batch)` on and before `end`, up to the first that is not certainly valid.
    fn extend(&mut self, events: &Bound<'_, PyList>, end: usize) -> PyResult<()> {
        let mut buffer = Vec::new();
        for index in self.entries.len()..end.min(events.len()) {
            if self.encode(&events.get_item(index)?, &mut buffer)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Adds an event that Pydantic has decided about.
    fn add(&mut self, key: Option<&[u8]>, value: &[u8], email_type: &str) -> PyResult<()> {
        let email_type =
            EmailType::from_name(email_type).ok_or_else(|| PyValueError::new_err("no such type of e-mail"))?;
        self.append(key.unwrap_or_default(), value, email_type);
        Ok(())
    }
}
