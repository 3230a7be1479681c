//! The results of events that are published together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::promise::Promise;

/// Collects one result for each event, and resolves the promise of all of them with the last.
pub(super) struct Results {
    promise: Py<Promise>,
    each: Mutex<Vec<Option<Py<PyAny>>>>,
    missing: AtomicUsize,
}

impl Results {
    /// Results of so many events.
    pub(super) fn new(promise: Py<Promise>, count: usize) -> Arc<Self> {
        let each = Mutex::new((0..count).map(|_| None).collect());
        Arc::new(Self { promise, each, missing: AtomicUsize::new(count) })
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
        let results = std::mem::take(&mut *self.each.lock());
        Promise::resolve(self.promise.bind(py), PyList::new(py, results)?.into_any())
    }
}
