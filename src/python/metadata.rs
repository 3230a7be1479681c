//! The metadata of an event as JSON, where Pydantic and `json.dumps` are certain to write the same.
//!
//! Exact built-in types only: a subclass may have a serialisation of its own, which Pydantic knows and we do not.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::email::json::write_string;
use NotEncoded::{TooLarge, Uncertain};

use super::late::LargeTexts;

/// Deeper nesting is left to Pydantic, which has a limit of its own.
const DEPTH: usize = 32;

/// Why the fast path did not encode an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotEncoded {
    /// Pydantic has to decide whether and how.
    Uncertain,
    /// It would have more bytes than an event may have.
    TooLarge,
}

impl From<PyErr> for NotEncoded {
    fn from(_: PyErr) -> Self {
        Self::Uncertain
    }
}

/// Writes `metadata`, a `dict` or `None`, as Python's `json.dumps` would, as long as `out` has no more than `max_bytes`.
/// Large texts go to `large` instead, if it is given.
pub(super) fn write(
    out: &mut Vec<u8>,
    metadata: Option<&Bound<'_, PyAny>>,
    max_bytes: usize,
    large: Option<&mut LargeTexts>,
) -> Result<(), NotEncoded> {
    match metadata {
        None => out.extend_from_slice(b"{}"),
        Some(metadata) => {
            Writer { out, max_bytes, large }.write_dict(metadata.cast_exact().map_err(|_| Uncertain)?, DEPTH)?;
        }
    }
    Ok(())
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    max_bytes: usize,
    large: Option<&'a mut LargeTexts>,
}

impl Writer<'_> {
    fn write_dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), NotEncoded> {
        self.out.push(b'{');
        for (index, (key, value)) in dict.iter().enumerate() {
            self.separate(index);
            self.write_text(key.cast_exact().map_err(|_| Uncertain)?)?;
            self.out.extend_from_slice(b": ");
            self.write_value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn write_list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> Result<(), NotEncoded> {
        self.out.push(b'[');
        for (index, item) in list.iter().enumerate() {
            self.separate(index);
            self.write_value(&item, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.out.extend_from_slice(b", ");
        }
    }

    fn write_text(&mut self, text: &Bound<'_, PyString>) -> Result<(), NotEncoded> {
        if let Some(large) = &mut self.large {
            if large.keep(text, self.out.len())? {
                return Ok(());
            }
        }
        let text = text.to_str()?;
        if text.len() > self.max_bytes {
            return Err(TooLarge);
        }
        write_string(self.out, text);
        Ok(())
    }

    fn write_value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), NotEncoded> {
        let depth = depth.checked_sub(1).ok_or(Uncertain)?;
        if self.out.len() > self.max_bytes {
            return Err(TooLarge);
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.write_text(text)?;
        } else if value.is_none() {
            self.out.extend_from_slice(b"null");
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.out.extend_from_slice(if truth.is_true() { b"true" } else { b"false" });
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.out.extend_from_slice(number.extract::<i64>()?.to_string().as_bytes());
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            if !number.value().is_finite() {
                return Err(Uncertain);
            }
            // Python's shortest form has rules of its own for exponents.
            self.out.extend_from_slice(number.repr()?.to_str()?.as_bytes());
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.write_dict(dict, depth)?;
        } else {
            self.write_list(value.cast_exact::<PyList>().map_err(|_| Uncertain)?, depth)?;
        }
        Ok(())
    }
}
