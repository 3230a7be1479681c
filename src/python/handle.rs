//! What a publish without an event loop returns: the handle of one event, whose outcome any thread may ask for.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{IntoPyObjectExt, PyTraverseError, PyVisit};

use super::finalization::call;
use super::process_bound::ProcessBound;
use super::promise::Withdraw;
use super::record_metadata::RecordMetadata;
use super::under_way::{logs_deliveries, UnderWay};
use super::{blocking, exceptions, lines};
use crate::producer::{Call, Calls, Completions};

/// The longest wait: larger numbers overflow a date.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// An event that was published without waiting for its acknowledgement. Dropping the handle does not withdraw the event.
#[pyclass(frozen, weakref, module = "kafka_email._core")]
pub(super) struct Handle {
    event: UnderWay,
    pending: Option<Pending>,
    /// Made by the first who asks. Taken for moments, and never while Python code runs.
    outcome: Mutex<Option<Outcome>>,
}

/// What is needed until the outcome is known.
struct Pending {
    call: ProcessBound<(Arc<Call>, Arc<Calls>)>,
    /// Takes the event back where it waits for space in the queue.
    withdrawal: Option<Box<dyn Withdraw>>,
}

/// What callers get: metadata, or an exception.
struct Outcome {
    value: Py<PyAny>,
    is_failure: bool,
}

impl Handle {
    /// The handle of an event that was accepted; `withdrawal` takes it back where it waits for space in the queue.
    pub(super) fn accepted(
        event: UnderWay,
        call: Arc<Call>,
        calls: &Arc<Calls>,
        withdrawal: Option<Box<dyn Withdraw>>,
    ) -> Self {
        let call = ProcessBound::new((call, Arc::clone(calls)));
        Self { event, pending: Some(Pending { call, withdrawal }), outcome: Mutex::default() }
    }

    /// The handle of an event that was refused.
    pub(super) fn refused(event: UnderWay, exception: Py<PyAny>) -> Self {
        let outcome = Mutex::new(Some(Outcome { value: exception, is_failure: true }));
        Self { event, pending: None, outcome }
    }

    fn native(&self, py: Python<'_>) -> PyResult<Option<&(Arc<Call>, Arc<Calls>)>> {
        let Some(pending) = &self.pending else { return Ok(None) };
        pending.call.get().map(Some).ok_or_else(|| exceptions::inherited(py))
    }

    /// Waits in Python, which knows gevent and event loops.
    fn wait_until_done(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().done(py)? {
            return Ok(());
        }
        let wait = py.import(intern!(py, "kafka_email._blocking"))?.getattr(intern!(py, "wait"))?;
        if call(&wait, (slf, timeout), None)?.extract()? {
            return Ok(());
        }
        Err(PyTimeoutError::new_err(format!(
            "event {} has no outcome yet; it is still under way",
            slf.get().event.id.text()
        )))
    }

    /// The outcome of an event that is done: whether it is a failure, and the metadata or exception.
    fn outcome(&self, py: Python<'_>) -> PyResult<(bool, Py<PyAny>)> {
        if let Some(outcome) = &*self.outcome.lock() {
            return Ok((outcome.is_failure, outcome.value.clone_ref(py)));
        }
        let Some((native, _)) = self.native(py)? else { return Err(PyValueError::new_err("the handle was cleared")) };
        let (value, is_failure, raised) = match native.outcome() {
            Some(Ok(stored)) => {
                let metadata = RecordMetadata::acknowledged(self.event.topic.clone_ref(py), stored, &self.event.id);
                let logged = if logs_deliveries(py)? { self.event.log_delivery(py, stored, None) } else { Ok(()) };
                (metadata.into_py_any(py)?, false, logged)
            }
            Some(Err(failure)) => {
                let (exception, raised) = exceptions::from_failure_for_certain(py, &failure, Some(&self.event));
                let logged = self.event.log_failure(py, &exception, None);
                (exception.unbind(), true, raised.and(logged))
            }
            None => return Err(PyTimeoutError::new_err("the event has no outcome yet")),
        };
        let outcome = Outcome { value, is_failure };
        // Of two threads that ask at once, both get the same object.
        let first = self.outcome.lock().get_or_insert(outcome).value.clone_ref(py);
        raised.map(|()| (is_failure, first))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some((call, calls)) = self.pending.as_ref().and_then(|pending| pending.call.get()) {
            calls.abandon(call);
        }
    }
}

// PyO3 hands arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl Handle {
    /// The handle of an event that is stored, or failed, already: for stand-ins of the producer.
    #[new]
    #[pyo3(signature = (event_id, topic, event_type, outcome, /))]
    fn new(event_id: &str, topic: Py<PyString>, event_type: Py<PyString>, outcome: Bound<'_, PyAny>) -> Self {
        let is_failure = outcome.is_instance_of::<pyo3::exceptions::PyBaseException>();
        let event = UnderWay::of_caller(event_id, topic, event_type);
        Self { event, pending: None, outcome: Mutex::new(Some(Outcome { value: outcome.unbind(), is_failure })) }
    }

    /// Id of the event, which the record carries in its ``ce_id`` header.
    #[getter]
    fn event_id(&self) -> String {
        self.event.id.text()
    }

    /// Whether the event is stored, or failed.
    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.native(py)?.is_none_or(|(call, _)| call.is_settled()))
    }

    /// Waits up to ``timeout`` seconds, or until the deadline of the publish when None; returns where the event is stored.
    #[pyo3(signature = (timeout=None))]
    fn result(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        Self::wait_until_done(slf, timeout)?;
        match slf.get().outcome(slf.py())? {
            (false, metadata) => Ok(metadata),
            (true, exception) => Err(PyErr::from_value(exception.into_bound(slf.py()))),
        }
    }

    /// As ``result``, but returns the error of a failed event, and None for one that is stored.
    #[pyo3(signature = (timeout=None))]
    fn exception(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        Self::wait_until_done(slf, timeout)?;
        let (is_failure, value) = slf.get().outcome(slf.py())?;
        Ok(is_failure.then_some(value))
    }

    /// Lets a thread call ``function`` with the handle when the event is stored or failed, which may be now.
    #[pyo3(signature = (function, /))]
    fn add_done_callback(slf: &Bound<'_, Self>, function: &Bound<'_, PyAny>) -> PyResult<()> {
        let add = slf.py().import("kafka_email._callbacks")?.getattr("add")?;
        call(&add, (slf, function), None).map(drop)
    }

    /// A ``concurrent.futures.Future`` of the result.
    fn as_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let future = slf.py().import("kafka_email._callbacks")?.getattr("future_of")?;
        call(&future, (slf,), None)
    }

    /// Returns False: the event is queued already.
    #[allow(clippy::unused_self)]
    fn cancel(&self) -> bool {
        false
    }

    /// Blocks this thread up to ``timeout`` seconds; returns whether the event is done.
    fn _wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let Some((native, calls)) = self.native(py)? else { return Ok(true) };
        let patience = timeout
            .map_or(LONGEST, |seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST).min(LONGEST));
        let is_done = blocking::wait_for(py, patience, |slice| native.wait(slice).then_some(()))?.is_some();
        lines::write(py, calls)?;
        Ok(is_done)
    }

    /// Takes the event back if it waits for space in the queue.
    fn _withdraw(&self, py: Python<'_>) -> PyResult<()> {
        let withdrawal = self.pending.as_ref().and_then(|pending| pending.withdrawal.as_ref());
        withdrawal.map_or(Ok(()), |withdrawal| withdrawal.withdraw(py))
    }

    /// Adds ``key`` to the completions when the event is done, which may be now.
    fn _tell(&self, py: Python<'_>, completions: &CompletionsRef, key: u64) -> PyResult<()> {
        match self.native(py)? {
            Some((native, _)) => native.tell(&completions.0, key),
            None => completions.0.add(key),
        }
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = match self.done(py) {
            Ok(true) => "done",
            Ok(false) => "pending",
            Err(_) => "inherited",
        };
        format!("<Handle {} {state}>", self.event.id.text())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(Pending { withdrawal: Some(withdrawal), .. }) = &self.pending {
            withdrawal.traverse(&visit)?;
        }
        // While it is locked somebody uses it: it is no garbage.
        match self.outcome.try_lock().as_deref() {
            Some(Some(outcome)) => visit.call(&outcome.value),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let garbage = self.outcome.lock().take();
        drop(garbage);
    }
}

/// The keys of handles that are done, for the thread that calls the callbacks.
#[pyclass(frozen, name = "Completions", module = "kafka_email._core")]
pub(super) struct CompletionsRef(Arc<Completions>);

#[pymethods]
impl CompletionsRef {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for keys; None when it is closed and all were taken.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Vec<u64>>> {
        let keys = blocking::wait_for(py, LONGEST, |slice| match self.0.take(slice) {
            Some(keys) if keys.is_empty() => None,
            keys => Some(keys),
        })?;
        Ok(keys.flatten())
    }

    /// Lets `take` return None.
    fn close(&self) {
        self.0.close();
    }
}
