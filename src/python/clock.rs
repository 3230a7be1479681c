//! The clock of the events: Python's own, which tests freeze (freezegun, time-machine).
//!
//! Pydantic reads it too, so an event has the same time whichever of the two encodes it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

use crate::email::Timestamp;

/// The present. None when it is before 1970 or cannot be read: Pydantic decides.
pub(super) fn now(py: Python<'_>) -> Option<Timestamp> {
    static TIME: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let time = TIME.get_or_try_init(py, || py.import("time").map(Bound::unbind)).ok()?;
    // Looked up each time: freezegun puts another function in its place.
    let nanos: u64 = time.bind(py).call_method0(intern!(py, "time_ns")).ok()?.extract().ok()?;
    // To the nearest microsecond: a frozen time comes from a float, which may be some nanoseconds off.
    let micros = nanos.saturating_add(500) / 1000;
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}
