//! The context (`contextvars`) in which Python code of the application runs.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::finalization::call;

/// A copy of the present context.
pub(super) fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static COPY_CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    COPY_CONTEXT.import(py, "contextvars", "copy_context")?.call0()
}

/// Calls the first of the arguments with the others, in a copy of the context, or of the present one if there is none.
/// The context itself may be in use: by a task that runs a loop inside this one, say.
pub(super) fn call_in(context: Option<Py<PyAny>>, arguments: Bound<'_, PyTuple>) -> PyResult<()> {
    let py = arguments.py();
    let copy = match context {
        Some(context) => context.bind(py).call_method0(intern!(py, "copy"))?,
        None => copy_context(py)?,
    };
    call(&copy.getattr(intern!(py, "run"))?, arguments, None).map(drop)
}
