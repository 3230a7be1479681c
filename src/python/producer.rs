//! The handle of a producer.

use std::collections::HashSet;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit};
use smallvec::SmallVec;

use super::batch::Batch;
use super::encoder::{with_buffer, Fields};
use super::late::LateBytes;
use super::mailbox::Mailbox;
use super::metadata::NotEncoded;
use super::process_bound::ProcessBound;
use super::promise::{Promise, Withdraw};
use super::reports::{Gauges, StopCounts};
use super::results::Results;
use super::under_way::{Id, UnderWay};
use super::{blocking, encoder, exceptions, headers, mailboxes};
use crate::email::{EventIds, Timestamp};
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::librdkafka::{Header, Record, Token};
use crate::producer::{Accepted, LateValue, Producer, Settings};

/// Headers of the caller: names and values.
type OwnHeaders = Vec<(String, Vec<u8>)>;

/// Handle of a native producer.
#[pyclass(frozen, name = "Producer", module = "kafka_email._core")]
pub(super) struct ProducerRef {
    native: ProcessBound<Producer>,
    ids: EventIds,
    source: String,
}

/// An OAUTHBEARER token on its way to the producer.
#[pyclass(frozen, name = "Token", module = "kafka_email._core")]
pub(super) struct TokenRef {
    value: String,
    principal: String,
    expires_at_ms: i64,
}

/// An event ready to be queued.
struct Draft<'a> {
    key: &'a [u8],
    value: &'a [u8],
    event_type: &'a str,
    headers: &'a [(String, Vec<u8>)],
    /// The caller's own id.
    id: Option<&'a str>,
    /// How the value is kept while it waits.
    keep: &'a dyn Fn() -> Option<Box<dyn LateValue>>,
}

/// Takes events back that wait for space in the queue.
struct Withdrawal {
    producer: Py<ProducerRef>,
    mailbox: Py<Mailbox>,
    tickets: HashSet<Ticket>,
}

impl Withdraw for Withdrawal {
    fn withdraw(&self, py: Python<'_>) -> PyResult<()> {
        for ticket in self.producer.get().native(py)?.withdraw(&self.tickets) {
            self.mailbox.get().forget(ticket);
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

    /// Without a draft, the event was too large to be encoded.
    fn enqueue<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        event_type: &Bound<'py, PyString>,
        draft: Option<&Draft<'_>>,
    ) -> PyResult<Bound<'py, Promise>> {
        let (py, this) = (slf.py(), slf.get());
        let (producer, mailbox) = this.attached(py)?;
        let id = this.id(draft.and_then(|draft| draft.id));
        let event = UnderWay { id: id.clone(), topic: topic.clone().unbind(), event_type: event_type.clone().unbind() };
        let (promise, ticket) = mailbox.get().register(py, event)?;
        let handed_over = match draft {
            Some(draft) => this.hand_over(producer, topic.to_str()?, draft, &id, ticket),
            None => Err(producer.too_large()),
        };
        match handed_over {
            Ok(Accepted::Queued) => Ok(promise),
            Ok(Accepted::Waiting) => {
                let (producer, tickets) = (slf.clone().unbind(), HashSet::from([ticket]));
                promise.get().withdraw_when_cancelled(Withdrawal { producer, mailbox, tickets });
                Ok(promise)
            }
            Err(failure) => Err(mailbox.get().refuse(py, ticket, &failure)),
        }
    }

    fn hand_over(
        &self,
        producer: &Producer,
        topic: &str,
        draft: &Draft<'_>,
        id: &Id,
        ticket: Ticket,
    ) -> Result<Accepted, Failure> {
        id.with_text(|id| {
            let mut headers: SmallVec<[Header<'_>; 8]> = SmallVec::new();
            headers.extend(headers::cloud_event(id.as_bytes(), draft.event_type, &self.source));
            headers.extend(draft.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
            let record = Record { topic, key: draft.key, payload: draft.value, headers: &headers };
            producer.enqueue(&record, ticket, draft.keep)
        })
    }

    fn id(&self, given: Option<&str>) -> Id {
        given.map_or_else(|| Id::Made(self.ids.next(Timestamp::now())), |id| Id::Given(id.into()))
    }
}

// PyO3 hands extracted arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl ProducerRef {
    /// Opens a producer. The running loop writes its first log lines.
    #[new]
    fn new(config: &Bound<'_, PyDict>, log_native: bool, token: Option<&TokenRef>) -> PyResult<Self> {
        // Do not chain the error: it shows the value, which may be a secret.
        let settings: Settings = pythonize::depythonize(config)
            .map_err(|_| PyValueError::new_err("the configuration does not fit this version of kafka_email._core"))?;
        let source = settings.client_id().to_owned();
        let py = config.py();
        let mailbox = mailboxes::of_running_loop(py)?;
        let native = Producer::open(settings, log_native, token.map(TokenRef::native), mailbox.get().queue(py)?)?;
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
        let event_type = email_type;
        let Some(email_type) = encoder::type_name(event_type) else { return Ok(None) };
        let fields = Fields { email_type, recipient, username, link, metadata };
        let max_bytes = slf.get().native(slf.py())?.max_event_bytes();
        with_buffer(|value| match fields.encode(value, max_bytes) {
            Ok(key) => {
                let headers = headers.as_deref().unwrap_or_default();
                let (id, keep) = (event_id, &|| fields.keep());
                let draft = Draft { key, value, event_type: email_type, headers, id, keep };
                Self::enqueue(slf, topic, event_type, Some(&draft)).map(Some)
            }
            Err(NotEncoded::Uncertain) => Ok(None),
            Err(NotEncoded::TooLarge) => Self::enqueue(slf, topic, event_type, None).map(Some),
        })
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
        let (key, headers) = (key.unwrap_or_default(), headers.as_deref().unwrap_or_default());
        let keep = || Some(Box::new(LateBytes(value.clone_ref(slf.py()))) as Box<dyn LateValue>);
        let draft = Draft { key, value: &value, event_type: event_type.to_str()?, headers, id: event_id, keep: &keep };
        Self::enqueue(slf, topic, event_type, Some(&draft))
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
            let name = encoded.email_type.as_str();
            let event_type = PyString::intern(py, name).unbind();
            let event = UnderWay { id: id.clone(), topic: topic.clone().unbind(), event_type };
            let ticket = mailbox.get().register_part(&results, index, event);
            let headers = headers.as_deref().unwrap_or_default();
            let keep = || Some(encoded.keep());
            let draft =
                Draft { key: encoded.key, value: encoded.value, event_type: name, headers, id: None, keep: &keep };
            match this.hand_over(producer, topic.to_str()?, &draft, &id, ticket) {
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
            promise.get().withdraw_when_cancelled(Withdrawal { producer, mailbox, tickets: waiting });
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

    /// What there is to see of the producer, for monitoring.
    fn gauges(&self, py: Python<'_>) -> PyResult<Gauges> {
        Ok(self.native(py)?.gauges().into())
    }

    /// Events that are neither acknowledged nor failed.
    #[getter]
    fn outstanding(&self, py: Python<'_>) -> PyResult<u64> {
        self.native(py).map(Producer::outstanding)
    }
}

impl TokenRef {
    pub(super) fn native(&self) -> Token {
        let (value, principal) = (self.value.clone(), self.principal.clone());
        Token { value, principal, expires_at_ms: self.expires_at_ms }
    }
}

#[pymethods]
impl TokenRef {
    /// `expires_at_ms`: end of its life, in milliseconds since the Unix epoch.
    #[new]
    fn new(value: String, principal: String, expires_at_ms: i64) -> Self {
        Self { value, principal, expires_at_ms }
    }
}

/// Version of the librdkafka inside.
#[pyfunction]
pub(super) fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
