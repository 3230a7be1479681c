//! The handle of a producer.

use std::collections::HashSet;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit};

use super::batch::{Batch, Encoded};
use super::draft::{Draft, Kind, OwnHeaders};
use super::encoder::{with_buffer, Fields};
use super::handle::Handle;
use super::late::LateBytes;
use super::mailbox::Mailbox;
use super::metadata::NotEncoded;
use super::process_bound::ProcessBound;
use super::promise::{Promise, Withdraw};
use super::reports::{Gauges, StopCounts};
use super::results::Results;
use super::token::TokenRef;
use super::under_way::Id;
use super::{blocking, encoder, exceptions, lines, mailboxes};
use crate::email::{EventIds, Timestamp};
use crate::handover::Ticket;
use crate::producer::{Accepted, LateValue, Producer, Settings};

/// Handle of a native producer.
#[pyclass(frozen, name = "Producer", module = "kafka_email._core")]
pub(super) struct ProducerRef {
    native: ProcessBound<Producer>,
    ids: EventIds,
    source: String,
}

/// Takes events back that wait for space in the queue.
struct Withdrawal {
    producer: Py<ProducerRef>,
    tickets: HashSet<Ticket>,
    /// That of the loop whose coroutines await them; None where they have handles.
    mailbox: Option<Py<Mailbox>>,
}

impl Withdraw for Withdrawal {
    fn withdraw(&self, py: Python<'_>) -> PyResult<()> {
        let producer = self.producer.get().native(py)?;
        for ticket in producer.withdraw(&self.tickets) {
            match &self.mailbox {
                Some(mailbox) => drop(mailbox.get().forget(ticket)),
                None => producer.calls().forget(ticket),
            }
        }
        Ok(())
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.producer)?;
        visit.call(&self.mailbox)
    }
}

impl ProducerRef {
    fn native(&self, py: Python<'_>) -> PyResult<&Producer> {
        self.native.get().ok_or_else(|| exceptions::inherited(py))
    }

    /// The producer, and the mailbox of the running loop, which gets its outcomes.
    fn attached(&self, py: Python<'_>) -> PyResult<(&Producer, Py<Mailbox>)> {
        let producer = self.native(py)?;
        let mailbox = mailboxes::of_running_loop(py)?;
        producer.attach(mailbox.get().queue(py)?);
        Ok((producer, mailbox))
    }

    fn ask<'py>(&self, py: Python<'py>, ask: impl FnOnce(&Producer, Ticket)) -> PyResult<Bound<'py, Promise>> {
        let (producer, mailbox) = self.attached(py)?;
        let (promise, ticket) = mailbox.get().register_question(py)?;
        ask(producer, ticket);
        Ok(promise)
    }

    /// Encodes an e-mail event if it is certainly valid, and lets `publish` publish it; None means that Pydantic has to
    /// decide.
    fn encoded<R>(
        &self,
        fields: &Fields<'_, '_>,
        headers: Option<&OwnHeaders>,
        id: Option<&str>,
        publish: impl FnOnce(&Draft<'_>) -> PyResult<R>,
    ) -> PyResult<Option<R>> {
        let max_bytes = self.native(fields.recipient.py())?.max_event_bytes();
        with_buffer(|value| match fields.encode(value, max_bytes) {
            Ok(key) => publish(&Draft::new(key, value, headers, id, &|| fields.keep())).map(Some),
            Err(NotEncoded::Uncertain) => Ok(None),
            Err(NotEncoded::TooLarge) => publish(&Draft::too_large(id)).map(Some),
        })
    }

    /// Publishes for a coroutine, which awaits the promise.
    fn enqueue<'py>(slf: &Bound<'py, Self>, kind: &Kind<'_, 'py>, draft: &Draft<'_>) -> PyResult<Bound<'py, Promise>> {
        let (py, this) = (slf.py(), slf.get());
        let (producer, mailbox) = this.attached(py)?;
        let id = this.id(draft.id());
        let (promise, ticket) = mailbox.get().register(py, kind.under_way(id.clone()))?;
        match draft.hand_over(producer, &this.source, kind, &id, ticket)? {
            Ok(Accepted::Queued) => Ok(promise),
            Ok(Accepted::Waiting) => {
                let (producer, tickets) = (slf.clone().unbind(), HashSet::from([ticket]));
                promise.get().withdraw_when_cancelled(Withdrawal { producer, tickets, mailbox: Some(mailbox) });
                Ok(promise)
            }
            Err(failure) => Err(mailbox.get().refuse(py, ticket, &failure)),
        }
    }

    /// Publishes for a thread without an event loop. `may_wait`: the event may wait for space in the queue.
    ///
    /// # Errors
    /// The exception of an event that is refused.
    fn call(
        slf: &Bound<'_, Self>,
        kind: &Kind<'_, '_>,
        draft: &Draft<'_>,
        may_wait: bool,
    ) -> PyResult<Result<Handle, Py<PyAny>>> {
        let (py, this) = (slf.py(), slf.get());
        let producer = this.native(py)?;
        let calls = producer.calls();
        lines::write(py, calls)?;
        let id = this.id(draft.id());
        let event = kind.under_way(id.clone());
        let (call, ticket) = calls.begin();
        let failure = match draft.hand_over(producer, &this.source, kind, &id, ticket)? {
            Ok(Accepted::Queued) => return Ok(Ok(Handle::accepted(event, call, calls, None))),
            Ok(Accepted::Waiting) => {
                let full = if may_wait { None } else { producer.queue_full() };
                let tickets = HashSet::from([ticket]);
                let Some(full) = full.filter(|_| !producer.withdraw(&tickets).is_empty()) else {
                    let withdrawal = Withdrawal { producer: slf.clone().unbind(), tickets, mailbox: None };
                    return Ok(Ok(Handle::accepted(event, call, calls, Some(Box::new(withdrawal)))));
                };
                full
            }
            Err(failure) => failure,
        };
        calls.forget(ticket);
        let exception = exceptions::from_failure(py, &failure, Some(&event))?;
        event.log_refusal(py, &failure, &exception)?;
        Ok(Err(exception.unbind()))
    }

    /// As [`Self::call`], for one event: that it is refused is raised.
    fn call_one(slf: &Bound<'_, Self>, kind: &Kind<'_, '_>, draft: &Draft<'_>, may_wait: bool) -> PyResult<Handle> {
        let refused = |exception: Py<PyAny>| PyErr::from_value(exception.into_bound(slf.py()));
        Self::call(slf, kind, draft, may_wait)?.map_err(refused)
    }

    fn id(&self, given: Option<&str>) -> Id {
        given.map_or_else(|| Id::Made(self.ids.next(Timestamp::now())), |id| Id::Given(id.into()))
    }
}

// PyO3 hands extracted arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl ProducerRef {
    /// Opens a producer. The running loop writes its first log lines, if one runs.
    #[new]
    fn new(config: &Bound<'_, PyDict>, log_native: bool, token: Option<&TokenRef>) -> PyResult<Self> {
        // Do not chain the error: it shows the value, which may be a secret.
        let settings: Settings = pythonize::depythonize(config)
            .map_err(|_| PyValueError::new_err("the configuration does not fit this version of kafka_email._core"))?;
        let source = settings.client_id().to_owned();
        let py = config.py();
        let mailbox = mailboxes::of_running_loop_if_any(py)?;
        let queue = mailbox.as_ref().map(|mailbox| mailbox.get().queue(py)).transpose()?;
        let native = Producer::open(settings, log_native, token.map(TokenRef::native), queue)?;
        let ids = EventIds::new().map_err(|error| PyRuntimeError::new_err(format!("no randomness: {error}")))?;
        Ok(Self { native: ProcessBound::new(native), ids, source })
    }

    /// Publishes an e-mail event if it is certainly valid; None means that Pydantic has to decide.
    #[allow(clippy::too_many_arguments)]
    fn publish_email<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        email_type: &Bound<'py, PyString>,
        recipient: &Bound<'py, PyAny>,
        username: &Bound<'py, PyAny>,
        link: &Bound<'py, PyAny>,
        metadata: Option<&Bound<'py, PyAny>>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
    ) -> PyResult<Option<Bound<'py, Promise>>> {
        let kind = Kind::new(topic, email_type);
        let Some(email_type) = encoder::type_name(email_type) else { return Ok(None) };
        let fields = Fields { email_type, recipient, username, link, metadata };
        slf.get().encoded(&fields, headers.as_ref(), event_id, |draft| Self::enqueue(slf, &kind, draft))
    }

    /// As `publish_email`, for a thread without an event loop.
    #[allow(clippy::too_many_arguments)]
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
        let kind = Kind::new(topic, email_type);
        let Some(email_type) = encoder::type_name(email_type) else { return Ok(None) };
        let fields = Fields { email_type, recipient, username, link, metadata };
        slf.get().encoded(&fields, headers.as_ref(), event_id, |draft| Self::call_one(slf, &kind, draft, may_wait))
    }

    /// Publishes an event that is encoded already.
    #[allow(clippy::too_many_arguments)]
    fn publish<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        key: Option<&[u8]>,
        value: PyBackedBytes,
        event_type: &Bound<'py, PyString>,
        headers: Option<OwnHeaders>,
        event_id: Option<&str>,
    ) -> PyResult<Bound<'py, Promise>> {
        let keep = || Some(Box::new(LateBytes(value.clone_ref(slf.py()))) as Box<dyn LateValue>);
        let draft = Draft::new(key.unwrap_or_default(), &value, headers.as_ref(), event_id, &keep);
        Self::enqueue(slf, &Kind::new(topic, event_type), &draft)
    }

    /// As `publish`, for a thread without an event loop.
    #[allow(clippy::too_many_arguments)]
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
        let keep = || Some(Box::new(LateBytes(value.clone_ref(slf.py()))) as Box<dyn LateValue>);
        let draft = Draft::new(key.unwrap_or_default(), &value, headers.as_ref(), event_id, &keep);
        Self::call_one(slf, &Kind::new(topic, event_type), &draft, may_wait)
    }

    /// Publishes the events of a batch for a thread without an event loop. Those that are refused have failed handles.
    fn call_batch(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyString>,
        batch: &Bound<'_, Batch>,
        headers: Option<OwnHeaders>,
        may_wait: bool,
    ) -> PyResult<Vec<Handle>> {
        let (py, batch) = (slf.py(), batch.borrow());
        let call = |encoded: Encoded<'_>| {
            let event_type = &PyString::intern(py, encoded.email_type.as_str());
            let keep = || Some(encoded.keep());
            let draft = Draft::of_batch(&encoded, headers.as_ref(), &keep);
            let kind = Kind::new(topic, event_type);
            let handle = Self::call(slf, &kind, &draft, may_wait)?;
            handle.or_else(|exception| Handle::refused(kind.under_way(slf.get().id(None)), exception))
        };
        batch.from(0).map(call).collect()
    }

    /// Publishes `count` events of a batch from `first` on; returns a promise of the list of their results.
    fn publish_batch<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        batch: &Bound<'py, Batch>,
        first: usize,
        count: usize,
        headers: Option<OwnHeaders>,
    ) -> PyResult<Bound<'py, Promise>> {
        let (py, this, batch) = (slf.py(), slf.get(), batch.borrow());
        let (producer, mailbox) = this.attached(py)?;
        let promise = mailbox.get().promise(py)?;
        let count = count.min(batch.__len__().saturating_sub(first));
        let results = Bound::new(py, Results::new(promise.clone().unbind(), count))?;
        let mut waiting = HashSet::new();
        for (index, encoded) in batch.from(first).take(count).enumerate() {
            let id = this.id(None);
            let event_type = &PyString::intern(py, encoded.email_type.as_str());
            let kind = Kind::new(topic, event_type);
            let ticket = mailbox.get().register_part(&results, index, kind.under_way(id.clone()));
            let keep = || Some(encoded.keep());
            let draft = Draft::of_batch(&encoded, headers.as_ref(), &keep);
            match draft.hand_over(producer, &this.source, &kind, &id, ticket)? {
                Ok(Accepted::Queued) => {}
                Ok(Accepted::Waiting) => drop(waiting.insert(ticket)),
                Err(failure) => {
                    let refusal = mailbox.get().refuse(py, ticket, &failure);
                    results.get().put(index, refusal.into_value(py).into_bound(py).into_any())?;
                }
            }
        }
        if !waiting.is_empty() {
            let producer = slf.clone().unbind();
            let mailbox = Some(mailbox);
            promise.get().withdraw_when_cancelled(Withdrawal { producer, tickets: waiting, mailbox });
        }
        Ok(promise)
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
        self.native.get().is_some_and(Producer::is_connected)
    }

    /// Whether the start failed, so that nothing is tried any more.
    #[getter]
    fn has_failed(&self) -> bool {
        self.native.get().is_some_and(Producer::has_failed)
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

/// Version of the librdkafka inside.
#[pyfunction]
pub(super) fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
