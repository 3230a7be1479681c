//! Waits that block a thread of Python's and let its signal handlers run meanwhile.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// How often signal handlers run.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

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

/// Calls `work`, which may block for long, on a thread of its own. Exceptions of signal handlers end the wait, and the
/// thread ends when the work is done.
pub(super) fn on_a_thread<T: Send + 'static>(py: Python<'_>, work: impl FnOnce() -> T + Send + 'static) -> PyResult<T> {
    let (give, take) = mpsc::sync_channel(1);
    let begun = thread::Builder::new().name("kafka-email-tool".into()).spawn(move || drop(give.send(work())));
    begun.map_err(|error| PyRuntimeError::new_err(format!("cannot start a thread: {error}")))?;
    // One thread at a time may wait for a channel, which the lock lets the compiler see.
    let take = Mutex::new(take);
    loop {
        match py.detach(|| take.lock().recv_timeout(SIGNALS_EVERY)) {
            Ok(result) => return Ok(result),
            Err(mpsc::RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the native half failed; please report it"));
            }
        }
    }
}
