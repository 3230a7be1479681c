//! The handle of a topic of dead letters, for the command line.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::blocking::on_a_thread;
use super::exceptions;
use super::token::TokenRef;
use crate::kafka::failure::Failure;
use crate::worker::{DeadLetters, Fate, Letter, LetterSettings};

/// The open letters of one topic.
#[pyclass(frozen, name = "DeadLetters", module = "kafka_email._core")]
pub(super) struct DeadLettersRef(Arc<Mutex<DeadLetters>>);

/// A letter. It is personal data.
#[pyclass(frozen, module = "kafka_email._core")]
pub(super) struct DeadLetter(Arc<Letter>);

impl DeadLettersRef {
    fn call<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut DeadLetters) -> Result<T, Failure> + Send + 'static,
    ) -> PyResult<T> {
        let letters = Arc::clone(&self.0);
        raised(py, on_a_thread(py, move || work(&mut letters.lock()))?)
    }
}

#[pymethods]
impl DeadLettersRef {
    #[new]
    fn new(settings: &Bound<'_, PyDict>, token: Option<&TokenRef>) -> PyResult<Self> {
        let py = settings.py();
        // Do not chain the error: it shows the value, which may be a secret.
        let settings: LetterSettings = pythonize::depythonize(settings)
            .map_err(|_| PyValueError::new_err("the configuration does not fit this version of kafka_email._core"))?;
        let token = token.map(TokenRef::native);
        let letters = raised(py, on_a_thread(py, move || DeadLetters::open(settings, token))?)?;
        Ok(Self(Arc::new(Mutex::new(letters))))
    }

    /// The next open letter of those that were there at the beginning; None after the last one.
    fn next(&self, py: Python<'_>) -> PyResult<Option<DeadLetter>> {
        let letter = self.call(py, DeadLetters::next)?;
        Ok(letter.map(|letter| DeadLetter(Arc::new(letter))))
    }

    /// Produces a letter to the topic that it came from, and remembers that. False: the letter does not say where from.
    fn replay(&self, py: Python<'_>, letter: &DeadLetter) -> PyResult<bool> {
        let letter = Arc::clone(&letter.0);
        self.call(py, move |letters| letters.settle(&letter, Fate::Replayed))
    }

    /// Remembers that nobody wants a letter any more.
    fn drop(&self, py: Python<'_>, letter: &DeadLetter) -> PyResult<()> {
        let letter = Arc::clone(&letter.0);
        self.call(py, move |letters| letters.settle(&letter, Fate::Dropped))?;
        Ok(())
    }
}

#[pymethods]
impl DeadLetter {
    #[getter]
    fn partition(&self) -> i32 {
        self.0.partition.partition
    }

    #[getter]
    fn offset(&self) -> i64 {
        self.0.offset
    }

    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.key.as_deref().map(|key| PyBytes::new(py, key))
    }

    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.value.as_deref().map(|value| PyBytes::new(py, value))
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> Vec<(&str, Option<Bound<'py, PyBytes>>)> {
        let bytes = |value: &Option<Vec<u8>>| value.as_deref().map(|value| PyBytes::new(py, value));
        self.0.headers.iter().map(|(name, value)| (name.as_str(), bytes(value))).collect()
    }
}

fn raised<T>(py: Python<'_>, result: Result<T, Failure>) -> PyResult<T> {
    match result {
        Ok(value) => Ok(value),
        Err(failure) => Err(PyErr::from_value(exceptions::from_failure(py, &failure, None)?)),
    }
}
