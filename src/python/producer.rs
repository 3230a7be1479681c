//! The handle of a producer.

use std::collections::HashSet;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use smallvec::SmallVec;

use super::batch::{Batch, Results};
use super::encoder::{email_type, with_buffer, Fields};
use super::mailbox::{Event, Mailbox, Target};
use super::process_bound::ProcessBound;
use super::promise::Promise;
use super::{exceptions, headers};
use crate::email::{EventId, EventIds, Timestamp};
use crate::kafka::failure::Failure;
use crate::kafka::librdkafka::record::{Header, Record};
use crate::kafka::librdkafka::token::Token;
use crate::producer::handle::{self as kafka, Accepted};
use crate::producer::outcome::Ticket;
use crate::producer::settings::Settings;

/// Events that wait, events with librdkafka, their bytes, and the mean round trip in seconds to each broker.
type Gauges = (u64, u64, u64, Vec<(i32, f64)>);
/// Headers of the caller: names and values.
type OwnHeaders = Vec<(String, Vec<u8>)>;

/// Handle of a native producer.
#[pyclass(frozen, module = "kafka_email._core")]
pub struct Producer {
    native: ProcessBound<kafka::Producer>,
    ids: EventIds,
    source: String,
}

impl Producer {
    fn native(&self, py: Python<'_>) -> PyResult<&kafka::Producer> {
        self.native.get().ok_or_else(|| exceptions::inherited(py))
    }

    /// The producer, and the mailbox of the running loop, which hears from it.
    fn join(&self, py: Python<'_>) -> PyResult<(&kafka::Producer, Py<Mailbox>)> {
        let producer = self.native(py)?;
        let mailbox = Mailbox::of_running_loop(py)?;
        producer.attach(mailbox.get().queue());
        Ok((producer, mailbox))
    }

    fn ask<'py>(
        &self,
        py: Python<'py>,
        question: impl FnOnce(&kafka::Producer, Ticket),
    ) -> PyResult<Bound<'py, Promise>> {
        let (producer, mailbox) = self.join(py)?;
        let (promise, ticket) = Mailbox::wait(mailbox.bind(py), None)?;
        question(producer, ticket);
        Ok(promise)
    }

    fn enqueue<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        draft: &Draft<'_>,
        kind: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, Promise>> {
        let (py, this) = (slf.py(), slf.get());
        let (producer, mailbox) = this.join(py)?;
        let id = this.ids.next(Timestamp::now());
        let event = Event { id, topic: topic.clone().unbind(), kind: kind.clone().unbind() };
        let (promise, ticket) = Mailbox::wait(mailbox.bind(py), Some(event))?;
        match this.hand_over(producer, topic.to_str()?, draft, id, ticket) {
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
        producer: &kafka::Producer,
        topic: &str,
        draft: &Draft<'_>,
        id: EventId,
        ticket: Ticket,
    ) -> Result<Accepted, Failure> {
        let id = id.encode();
        let mut headers: SmallVec<[Header<'_>; 8]> = SmallVec::new();
        headers.extend(headers::cloud_event(&id, draft.event_type, &self.source));
        headers.extend(draft.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        producer.enqueue(&Record { topic, key: draft.key, payload: draft.value, headers: &headers }, ticket)
    }
}

/// Takes events back that wait for space in the queue.
pub struct Withdrawal {
    producer: Py<Producer>,
    mailbox: Py<Mailbox>,
    tickets: HashSet<Ticket>,
}

impl Withdrawal {
    /// Takes those back that are not queued yet.
    pub fn take_back(&self, py: Python<'_>) -> PyResult<()> {
        for ticket in self.producer.get().native(py)?.withdraw(&self.tickets) {
            self.mailbox.get().cancel(ticket);
        }
        Ok(())
    }
}

/// An event ready to go.
struct Draft<'a> {
    key: &'a [u8],
    value: &'a [u8],
    event_type: &'a str,
    headers: &'a [(String, Vec<u8>)],
}

// PyO3 hands extracted arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl Producer {
    /// Opens a producer; the running loop is where its first log lines go.
    #[new]
    fn new(config: &Bound<'_, PyDict>, log_native: bool, token: Option<(String, String, i64)>) -> PyResult<Self> {
        // The error of a wrong type would show the value; none of ours is wrong, and one may be a secret.
        let settings: Settings = pythonize::depythonize(config)
            .map_err(|_| PyValueError::new_err("the configuration does not fit this version of kafka_email._core"))?;
        let source = settings.client_id.clone();
        let mailbox = Mailbox::of_running_loop(config.py())?;
        let native = kafka::Producer::open(settings, log_native, token.map(bearer_token), mailbox.get().queue())?;
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
    ) -> PyResult<Option<Bound<'py, Promise>>> {
        let Some(kind) = self::email_type(email_type) else { return Ok(None) };
        let fields = Fields { email_type: kind, recipient, username, link, metadata };
        with_buffer(|value| {
            let Some(key) = fields.encode(value) else { return Ok(None) };
            let draft =
                Draft { key, value, event_type: kind.as_str(), headers: headers.as_deref().unwrap_or_default() };
            Self::enqueue(slf, topic, &draft, email_type).map(Some)
        })
    }

    /// Publishes an event that is encoded already.
    fn publish<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        key: Option<&[u8]>,
        value: &[u8],
        event_type: &Bound<'py, PyString>,
        headers: Option<OwnHeaders>,
    ) -> PyResult<Bound<'py, Promise>> {
        let (key, headers) = (key.unwrap_or_default(), headers.as_deref().unwrap_or_default());
        Self::enqueue(slf, topic, &Draft { key, value, event_type: event_type.to_str()?, headers }, event_type)
    }

    /// Publishes `count` events of a batch from `first` on; a promise of the list of their results.
    fn publish_batch<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        batch: &Bound<'py, Batch>,
        first: usize,
        count: usize,
        headers: Option<OwnHeaders>,
    ) -> PyResult<Bound<'py, Promise>> {
        let (py, this, batch) = (slf.py(), slf.get(), batch.borrow());
        let (producer, mailbox) = this.join(py)?;
        let promise = Bound::new(py, Promise::new(mailbox.clone_ref(py)))?;
        let count = count.min(batch.__len__().saturating_sub(first));
        let results = Results::new(promise.clone().unbind(), count);
        let mut waiting = HashSet::new();
        for (index, encoded) in batch.from(first).take(count).enumerate() {
            let id = this.ids.next(Timestamp::now());
            let event_type = encoded.email_type.as_str();
            let event = Event { id, topic: topic.clone().unbind(), kind: PyString::intern(py, event_type).unbind() };
            let ticket = mailbox.get().expect_outcome(Target::Part(results.clone(), index), Some(event));
            let headers = headers.as_deref().unwrap_or_default();
            let draft = Draft { key: encoded.key, value: encoded.value, event_type, headers };
            match this.hand_over(producer, topic.to_str()?, &draft, id, ticket) {
                Ok(Accepted::Queued) => {}
                Ok(Accepted::Waiting) => drop(waiting.insert(ticket)),
                Err(failure) => {
                    let refusal = mailbox.get().refuse(py, ticket, &failure);
                    results.put(index, refusal.into_value(py).into_bound(py).into_any())?;
                }
            }
        }
        if !waiting.is_empty() {
            let producer = slf.clone().unbind();
            promise.get().withdraw_when_cancelled(Withdrawal { producer, mailbox, tickets: waiting });
        }
        Ok(promise)
    }

    /// A promise that is kept when the producer is connected, or connects in the background.
    fn started<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Promise>> {
        self.ask(py, kafka::Producer::started)
    }

    /// A promise of (healthy, brokers, latency in ms, queued, in flight, last error).
    fn health<'py>(&self, py: Python<'py>, timeout: Duration) -> PyResult<Bound<'py, Promise>> {
        self.ask(py, |producer, ticket| producer.health(ticket, timeout))
    }

    /// A promise of (delivered, failed, elapsed seconds), done when everything is released.
    fn stop<'py>(&self, py: Python<'py>, timeout: Duration) -> PyResult<Bound<'py, Promise>> {
        self.ask(py, |producer, ticket| producer.stop(ticket, timeout))
    }

    /// As `stop`, blocking, for the end of the process; None when it took longer than `patience`.
    fn stop_and_wait(&self, py: Python<'_>, timeout: Duration, patience: Duration) -> PyResult<Option<(u64, u64)>> {
        let producer = self.native(py)?;
        let report = py.detach(|| producer.stop_and_wait(timeout, patience));
        Ok(report.map(|report| (report.delivered, report.failed)))
    }

    /// Closes at once, in the background.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        self.native(py).map(kafka::Producer::abandon)
    }

    /// Supplies an OAUTHBEARER token: value, principal, end of its life in milliseconds since the Unix epoch.
    fn set_token(&self, py: Python<'_>, value: String, principal: String, expires_at_ms: i64) -> PyResult<()> {
        self.native(py)?.set_token(bearer_token((value, principal, expires_at_ms)));
        Ok(())
    }

    /// Whether the cluster answered lately. No I/O.
    #[getter]
    fn is_connected(&self) -> bool {
        self.native.get().is_some_and(kafka::Producer::is_connected)
    }

    /// Whether a parent process made this producer.
    #[getter]
    fn is_inherited(&self) -> bool {
        self.native.is_inherited()
    }

    /// A look at the producer, for monitoring.
    fn gauges(&self, py: Python<'_>) -> PyResult<Gauges> {
        let gauges = self.native(py)?.gauges();
        let round_trips = gauges.round_trips.iter().map(|(broker, mean)| (*broker, mean.as_secs_f64()));
        Ok((gauges.waiting, gauges.in_flight, gauges.bytes, round_trips.collect()))
    }

    /// Events whose fate is open.
    #[getter]
    fn outstanding(&self, py: Python<'_>) -> PyResult<u64> {
        self.native(py).map(kafka::Producer::outstanding)
    }
}

fn bearer_token((value, principal, expires_at_ms): (String, String, i64)) -> Token {
    Token { value, principal, expires_at_ms }
}

/// Version of the librdkafka inside.
#[pyfunction]
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
