//! The results of events that are published together.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

use super::promise::Promise;

/// Collects one result for each event, and resolves the promise of all of them with the last.
#[pyclass(frozen, module = "kafka_email._core")]
pub(super) struct Results {
    promise: Py<Promise>,
    each: Mutex<Vec<Option<Py<PyAny>>>>,
    missing: AtomicUsize,
}

impl Results {
    /// Results of so many events.
    pub(super) fn new(promise: Py<Promise>, count: usize) -> Self {
        let each = Mutex::new((0..count).map(|_| None).collect());
        Self { promise, each, missing: AtomicUsize::new(count) }
    }

    pub(super) fn promise(&self) -> &Py<Promise> {
        &self.promise
    }

    /// Keeps the result of one event.
    pub(super) fn put(&self, index: usize, result: Bound<'_, PyAny>) -> PyResult<()> {
        let py = result.py();
        if let Some(place) = self.each.lock().get_mut(index) {
            *place = Some(result.unbind());
        }
        if self.missing.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let results = mem::take(&mut *self.each.lock());
        Promise::resolve(self.promise.bind(py), PyList::new(py, results)?.into_any())
    }
}

// PyO3 hands arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl Results {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.promise)?;
        // While it is locked somebody uses it: it is no garbage.
        self.each.try_lock().map_or(Ok(()), |each| each.iter().try_for_each(|result| visit.call(result)))
    }

    fn __clear__(&self) {
        let garbage = mem::take(&mut *self.each.lock());
        drop(garbage);
    }
}
