//! The metadata of an event as JSON, where Pydantic and `json.dumps` are certain to write the same.
//!
//! Exact built-in types only: a subclass may have a serialisation of its own, which Pydantic knows and we do not.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::email::json::write_string;

/// Deeper nesting is left to Pydantic, which has a limit of its own.
const DEPTH: usize = 32;

/// Not certain: Pydantic decides.
pub(super) struct Uncertain;

impl From<PyErr> for Uncertain {
    fn from(_: PyErr) -> Self {
        Self
    }
}

/// Writes `metadata`, a `dict` or `None`, as Python's `json.dumps` would.
pub(super) fn write(out: &mut Vec<u8>, metadata: Option<&Bound<'_, PyAny>>) -> Result<(), Uncertain> {
    match metadata {
        None => out.extend_from_slice(b"{}"),
        Some(metadata) => write_dict(out, metadata.cast_exact::<PyDict>().map_err(|_| Uncertain)?, DEPTH)?,
    }
    Ok(())
}

fn write_dict(out: &mut Vec<u8>, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), Uncertain> {
    out.push(b'{');
    for (index, (key, value)) in dict.iter().enumerate() {
        separate(out, index);
        write_string(out, key.cast_exact::<PyString>().map_err(|_| Uncertain)?.to_str()?);
        out.extend_from_slice(b": ");
        write_value(out, &value, depth)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_list(out: &mut Vec<u8>, list: &Bound<'_, PyList>, depth: usize) -> Result<(), Uncertain> {
    out.push(b'[');
    for (index, item) in list.iter().enumerate() {
        separate(out, index);
        write_value(out, &item, depth)?;
    }
    out.push(b']');
    Ok(())
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.extend_from_slice(b", ");
    }
}

fn write_value(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Uncertain> {
    let depth = depth.checked_sub(1).ok_or(Uncertain)?;
    if let Ok(text) = value.cast_exact::<PyString>() {
        write_string(out, text.to_str()?);
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if truth.is_true() { b"true" } else { b"false" });
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        out.extend_from_slice(number.extract::<i64>()?.to_string().as_bytes());
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        if !number.value().is_finite() {
            return Err(Uncertain);
        }
        // Python's shortest form has rules of its own for exponents.
        out.extend_from_slice(number.repr()?.to_str()?.as_bytes());
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        write_dict(out, dict, depth)?;
    } else {
        write_list(out, value.cast_exact::<PyList>().map_err(|_| Uncertain)?, depth)?;
    }
    Ok(())
}
