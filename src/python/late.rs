//! Values of events that wait, without copies of large texts: one text of the caller's often goes to many events.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::PyString;

use crate::email::json::write_string;
use crate::producer::LateValue;

/// A text of this size or more is not copied. To refer to one takes 40 bytes.
const LARGE_TEXT: usize = 512;

/// The JSON of an event without its large texts.
#[derive(Default)]
pub(super) struct LateJson {
    /// Everything else.
    pub(super) rest: Vec<u8>,
    /// The texts, each with its place in the rest.
    pub(super) texts: LargeTexts,
}

/// Texts that are not copied.
#[derive(Default)]
pub(super) struct LargeTexts(Vec<(usize, PyBackedStr)>);

impl LargeTexts {
    /// Keeps a text if it is large; `place` is where it belongs.
    pub(super) fn keep(&mut self, text: &Bound<'_, PyString>, place: usize) -> PyResult<bool> {
        let is_large = text.to_str()?.len() >= LARGE_TEXT;
        if is_large {
            self.0.push((place, text.clone().try_into()?));
        }
        Ok(is_large)
    }
}

impl LateJson {
    /// Whether it takes less than the JSON does.
    pub(super) fn saves_copies(&self) -> bool {
        !self.texts.0.is_empty()
    }
}

/// One of a batch, which keeps it until all of its events are settled.
impl LateValue for Arc<LateJson> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl LateValue for LateJson {
    fn write(&self, out: &mut Vec<u8>) {
        let mut written = 0;
        for (place, text) in &self.texts.0 {
            out.extend_from_slice(self.rest.get(written..*place).unwrap_or_default());
            write_string(out, text);
            written = *place;
        }
        out.extend_from_slice(self.rest.get(written..).unwrap_or_default());
    }
}

/// A value that Python holds.
pub(super) struct LateBytes(pub(super) PyBackedBytes);

impl LateValue for LateBytes {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// One value of a batch.
pub(super) struct LatePart {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl LateValue for LatePart {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes.get(self.start..self.end).unwrap_or_default());
    }
}
