//! Who gets the outcome of an event.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::promise::Promise;
use super::results::Results;
use super::under_way::UnderWay;

/// One event in a mailbox, and where its outcome goes.
pub(super) struct Waiter {
    pub(super) target: Target,
    /// None when the caller has its failure already, and only the delivery report is missing.
    pub(super) under_way: Option<UnderWay>,
}

/// Where an outcome goes.
pub(super) enum Target {
    /// A promise of its own.
    Alone(Py<Promise>),
    /// The results of a batch, at this index.
    Part(Py<Results>, usize),
    /// Nowhere: the deadline was the answer.
    Nobody,
}

impl Target {
    pub(super) fn resolve(&self, result: Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Alone(promise) => Promise::resolve(promise.bind(result.py()), result),
            Self::Part(results, index) => results.get().put(*index, result),
            Self::Nobody => Ok(()),
        }
    }

    pub(super) fn reject(&self, exception: Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Alone(promise) => Promise::reject(promise.bind(exception.py()), exception.cast_into()?),
            Self::Part(results, index) => results.get().put(*index, exception),
            Self::Nobody => Ok(()),
        }
    }

    /// The context of whoever waits, if somebody does.
    pub(super) fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Alone(promise) => promise.get().context(py),
            Self::Part(results, _) => results.get().promise().get().context(py),
            Self::Nobody => None,
        }
    }

    /// Shows the garbage collector what it refers to.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Alone(promise) => visit.call(promise),
            Self::Part(results, _) => visit.call(results),
            Self::Nobody => Ok(()),
        }
    }
}
