//! Who gets the outcome of an event.

use std::sync::Arc;

use pyo3::prelude::*;

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
    Part(Arc<Results>, usize),
    /// Nowhere: the deadline was the answer.
    Nobody,
}

impl Target {
    pub(super) fn resolve(&self, result: Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Alone(promise) => Promise::resolve(promise.bind(result.py()), result),
            Self::Part(results, index) => results.put(*index, result),
            Self::Nobody => Ok(()),
        }
    }

    pub(super) fn reject(&self, exception: Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Alone(promise) => Promise::reject(promise.bind(exception.py()), exception.cast_into()?),
            Self::Part(results, index) => results.put(*index, exception),
            Self::Nobody => Ok(()),
        }
    }

    pub(super) fn promise(&self) -> Option<&Py<Promise>> {
        match self {
            Self::Alone(promise) => Some(promise),
            Self::Part(results, _) => Some(results.promise()),
            Self::Nobody => None,
        }
    }
}
