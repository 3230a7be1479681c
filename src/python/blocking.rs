//! Waits that block a thread of Python's and let its signal handlers run meanwhile.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How often signal handlers run.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// Calls `wait`, without the GIL, with the time that it may take, until it has a result; None when `patience` is over.
/// Exceptions of signal handlers end the wait.
pub(super) fn wait_for<T: Send>(
    py: Python<'_>,
    patience: Duration,
    mut wait: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let result = py.detach(|| wait(left.min(SIGNALS_EVERY)));
        if result.is_some() || left.is_zero() {
            return Ok(result);
        }
        py.check_signals()?;
    }
}
