//! Log lines of the native half, written by a thread that has no event loop.

use pyo3::intern;
use pyo3::prelude::*;

use super::finalization::call;
use crate::producer::Calls;

/// Writes the lines that are waiting.
pub(super) fn write(py: Python<'_>, calls: &Calls) -> PyResult<()> {
    while let Some(line) = calls.next_line() {
        let log = py.import("kafka_email._logging")?.getattr(intern!(py, "log_native"))?;
        call(&log, (line.level.number(), line.event.name(), line.message), None)?;
    }
    Ok(())
}
