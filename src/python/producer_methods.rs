//! What Python calls on the handle of a producer.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyString};

use super::batch::Batch;
use super::draft::{Draft, Kind, OwnHeaders};
use super::encoder::{self, Fields};
use super::handle::Handle;
use super::late::LateBytes;
use super::producer::ProducerRef;
use super::promise::Promise;
use super::publishing::{call_batch, call_one, encoded, enqueue, enqueue_batch};
use super::reports::{Gauges, StopCounts};
use super::token::TokenRef;
use super::{blocking, metadata};
use crate::producer::{LateValue, Producer};

// PyO3 hands extracted arguments over by value.
#[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
#[pymethods]
impl ProducerRef {
    /// Opens a producer. The running loop writes its first log lines, if one runs.
    #[new]
    fn new(config: &Bound<'_, PyDict>, log_native: bool, token: Option<&TokenRef>) -> PyResult<Self> {
        Self::open(config, log_native, token)
    }

    /// Publishes an e-mail event if it is certainly valid; None means that Pydantic has to decide.
    fn publish_email<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        email_type: &Bound<'py, PyString>,
        recipient: &Bound<'_, PyAny>,
        username: &Bound<'_, PyAny>,
        link: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
    ) -> PyResult<Option<Bound<'py, Promise>>> {
        let Some(name) = encoder::type_name(email_type) else { return Ok(None) };
        let fields = Fields { email_type: name, recipient, username, link, metadata };
        let (max_bytes, keep) = (slf.get().native(slf.py())?.max_event_bytes(), || fields.late().map(boxed));
        encoded(
            max_bytes,
            |out, max| fields.encode(out, max),
            &keep,
            headers.as_ref(),
            event_id,
            |draft| enqueue(slf, &Kind::new(topic, email_type), draft),
        )
    }

    /// As `publish_email`, for a thread without an event loop.
    fn call_email(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyString>,
        email_type: &Bound<'_, PyString>,
        recipient: &Bound<'_, PyAny>,
        username: &Bound<'_, PyAny>,
        link: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
        may_wait: bool,
    ) -> PyResult<Option<Handle>> {
        let Some(name) = encoder::type_name(email_type) else { return Ok(None) };
        let fields = Fields { email_type: name, recipient, username, link, metadata };
        let (max_bytes, keep) = (slf.get().native(slf.py())?.max_event_bytes(), || fields.late().map(boxed));
        encoded(
            max_bytes,
            |out, max| fields.encode(out, max),
            &keep,
            headers.as_ref(),
            event_id,
            |draft| call_one(slf, &Kind::new(topic, email_type), draft, may_wait),
        )
    }

    /// Publishes a `dict` if Pydantic and `json.dumps` are certain to write the same; None means that they have to.
    fn publish_mapping<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        key: Option<&[u8]>,
        event: &Bound<'_, PyAny>,
        event_type: &Bound<'py, PyString>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
    ) -> PyResult<Option<Bound<'py, Promise>>> {
        let (max_bytes, key) = (slf.get().native(slf.py())?.max_event_bytes(), key.unwrap_or_default());
        let write = |out: &mut Vec<u8>, max| metadata::write(out, Some(event), max, None).map(|()| key);
        let keep = || encoder::late_mapping(event).map(boxed);
        encoded(max_bytes, write, &keep, headers.as_ref(), event_id, |draft| {
            enqueue(slf, &Kind::new(topic, event_type), draft)
        })
    }

    /// As `publish_mapping`, for a thread without an event loop.
    fn call_mapping(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyString>,
        key: Option<&[u8]>,
        event: &Bound<'_, PyAny>,
        event_type: &Bound<'_, PyString>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
        may_wait: bool,
    ) -> PyResult<Option<Handle>> {
        let (max_bytes, key) = (slf.get().native(slf.py())?.max_event_bytes(), key.unwrap_or_default());
        let write = |out: &mut Vec<u8>, max| metadata::write(out, Some(event), max, None).map(|()| key);
        let keep = || encoder::late_mapping(event).map(boxed);
        encoded(max_bytes, write, &keep, headers.as_ref(), event_id, |draft| {
            call_one(slf, &Kind::new(topic, event_type), draft, may_wait)
        })
    }

    /// Publishes an event that is encoded already.
    fn publish<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        key: Option<&[u8]>,
        value: PyBackedBytes,
        event_type: &Bound<'py, PyString>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
    ) -> PyResult<Bound<'py, Promise>> {
        let keep = || Some(boxed(LateBytes(value.clone_ref(slf.py()))));
        let draft = Draft::new(key.unwrap_or_default(), &value, headers.as_ref(), event_id, &keep);
        enqueue(slf, &Kind::new(topic, event_type), &draft)
    }

    /// As `publish`, for a thread without an event loop.
    fn call_encoded(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyString>,
        key: Option<&[u8]>,
        value: PyBackedBytes,
        event_type: &Bound<'_, PyString>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
        may_wait: bool,
    ) -> PyResult<Handle> {
        let keep = || Some(boxed(LateBytes(value.clone_ref(slf.py()))));
        let draft = Draft::new(key.unwrap_or_default(), &value, headers.as_ref(), event_id, &keep);
        call_one(slf, &Kind::new(topic, event_type), &draft, may_wait)
    }

    /// Publishes `count` events of a batch from `first` on; returns a promise of the list of their results.
    fn publish_batch<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        batch: &Bound<'_, Batch>,
        first: usize,
        count: usize,
        headers: Option<OwnHeaders>,
    ) -> PyResult<Bound<'py, Promise>> {
        enqueue_batch(slf, topic, &batch.borrow(), (first, count), headers.as_ref())
    }

    /// Publishes all events of a batch for a thread without an event loop. Those that are refused have failed handles.
    fn call_batch(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyString>,
        batch: &Bound<'_, Batch>,
        headers: Option<OwnHeaders>,
        may_wait: bool,
    ) -> PyResult<Vec<Handle>> {
        call_batch(slf, topic, &batch.borrow(), headers.as_ref(), may_wait)
    }

    /// A promise of None, resolved when the producer is connected, or connects in the background.
    fn started<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Promise>> {
        self.ask(py, Producer::started)
    }

    /// A promise of `Health`.
    fn health<'py>(&self, py: Python<'py>, timeout: Duration) -> PyResult<Bound<'py, Promise>> {
        self.ask(py, |producer, ticket| producer.health(ticket, timeout))
    }

    /// A promise of `StopCounts`, resolved when everything is released.
    fn stop<'py>(&self, py: Python<'py>, timeout: Duration) -> PyResult<Bound<'py, Promise>> {
        self.ask(py, |producer, ticket| producer.stop(ticket, timeout))
    }

    /// As `stop`, blocking, for the end of the process; None when it took longer than `patience`. Signal handlers run
    /// meanwhile, and their exceptions end the wait.
    fn stop_and_wait(&self, py: Python<'_>, timeout: Duration, patience: Duration) -> PyResult<Option<StopCounts>> {
        let report = self.native(py)?.stop_and_report(timeout);
        let counts = blocking::wait_for(py, patience, move |slice| match report.recv_timeout(slice) {
            Ok(counts) => Some(Some(counts.into())),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(None),
        })?;
        Ok(counts.flatten())
    }

    /// Closes at once, in the background.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        self.native(py).map(Producer::abandon)
    }

    /// Supplies an OAUTHBEARER token.
    fn set_token(&self, py: Python<'_>, token: &TokenRef) -> PyResult<()> {
        self.native(py)?.set_token(token.native());
        Ok(())
    }

    /// Whether the cluster answered lately. No I/O.
    #[getter]
    fn is_connected(&self) -> bool {
        self.own().is_some_and(Producer::is_connected)
    }

    /// Whether the start failed, so that nothing is tried any more.
    #[getter]
    fn has_failed(&self) -> bool {
        self.own().is_some_and(Producer::has_failed)
    }

    /// What there is to see of the producer, for monitoring.
    fn gauges(&self, py: Python<'_>) -> PyResult<Gauges> {
        Ok(self.native(py)?.gauges().into())
    }

    /// Bytes that an event may have.
    #[getter]
    fn max_event_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        self.native(py).map(Producer::max_event_bytes)
    }

    /// Events that are neither acknowledged nor failed.
    #[getter]
    fn outstanding(&self, py: Python<'_>) -> PyResult<u64> {
        self.native(py).map(Producer::outstanding)
    }
}

fn boxed(late: impl LateValue + 'static) -> Box<dyn LateValue> {
    Box::new(late)
}
