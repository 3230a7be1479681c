//! The handle of a producer.

use std::cell::Cell;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::fork::ProcessBound;
use super::mailbox::{Event, Mailbox};
use super::{exceptions, headers, metadata};
use crate::email::{EmailEvent, EmailType, EventIds, Timestamp};
use crate::kafka::outcome::Ticket;
use crate::kafka::producer::{self as kafka, Accepted};
use crate::kafka::record::{Header, Record};
use crate::kafka::settings::Settings;
use crate::kafka::token::Token;

thread_local! {
    /// Where events are encoded: grows to the largest event and is used again.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the buffer out. It is taken, not borrowed: Python code may run meanwhile, and publish as well.
fn with_buffer<R>(use_buffer: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = BUFFER.take();
    let result = use_buffer(&mut buffer);
    BUFFER.set(buffer);
    result
}

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

    fn ask<'py>(
        &self,
        py: Python<'py>,
        question: impl FnOnce(&kafka::Producer, Ticket),
    ) -> PyResult<Bound<'py, PyAny>> {
        let producer = self.native(py)?;
        let mailbox = Mailbox::of_running_loop(py)?;
        producer.attach(mailbox.get().queue());
        let (future, ticket) = mailbox.get().wait(py, None)?;
        question(producer, ticket);
        Ok(future)
    }

    fn enqueue<'py>(
        slf: &Bound<'py, Self>,
        topic: &Bound<'py, PyString>,
        draft: &Draft<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let producer = this.native(py)?;
        let mailbox = Mailbox::of_running_loop(py)?;
        producer.attach(mailbox.get().queue());
        let id = this.ids.next(Timestamp::now());
        let event = Event { id, topic: topic.clone().unbind(), kind: draft.event_type.clone().unbind() };
        let (future, ticket) = mailbox.get().wait(py, Some(event))?;
        let id_text = id.encode();
        let mut all_headers: Vec<Header<'_>> = Vec::with_capacity(8);
        headers::cloud_event(&mut all_headers, &id_text, draft.event_type.to_str()?, &this.source);
        all_headers.extend(draft.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let record = Record { topic: topic.to_str()?, key: draft.key, payload: draft.value, headers: &all_headers };
        match producer.enqueue(&record, ticket) {
            Ok(Accepted::Queued) => Ok(future),
            Ok(Accepted::Waiting) => {
                let withdrawal = Withdrawal { producer: slf.clone().unbind(), mailbox, ticket };
                future.call_method1(intern!(py, "add_done_callback"), (withdrawal,))?;
                Ok(future)
            }
            Err(failure) => Err(mailbox.get().refuse(py, ticket, &failure)),
        }
    }
}

/// Takes an event back when its future is cancelled while it waits for space in the queue. Called by the future.
#[pyclass(frozen)]
struct Withdrawal {
    producer: Py<Producer>,
    mailbox: Py<Mailbox>,
    ticket: Ticket,
}

#[pymethods]
impl Withdrawal {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let is_cancelled: bool = future.call_method0(intern!(future.py(), "cancelled"))?.extract()?;
        if is_cancelled && self.producer.get().native(future.py())?.withdraw(self.ticket) {
            self.mailbox.get().cancel(self.ticket);
        }
        Ok(())
    }
}

/// An event ready to go.
struct Draft<'a, 'py> {
    key: &'a [u8],
    value: &'a [u8],
    event_type: &'a Bound<'py, PyString>,
    headers: OwnHeaders,
}

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
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        with_buffer(|buffer| {
            if encode(buffer, email_type, recipient, username, link, metadata).is_none() {
                return Ok(None);
            }
            // The encoder saw that the recipient is a string.
            let key = recipient.cast::<PyString>()?.to_str()?.as_bytes();
            let draft = Draft { key, value: buffer, event_type: email_type, headers: headers.unwrap_or_default() };
            Self::enqueue(slf, topic, &draft).map(Some)
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
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::enqueue(
            slf,
            topic,
            &Draft { key: key.unwrap_or_default(), value, event_type, headers: headers.unwrap_or_default() },
        )
    }

    /// A future that is done when the producer is connected, or connects in the background.
    fn started<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.ask(py, kafka::Producer::started)
    }

    /// A future of (healthy, brokers, latency in ms, queued, in flight, last error).
    fn health<'py>(&self, py: Python<'py>, timeout: Duration) -> PyResult<Bound<'py, PyAny>> {
        self.ask(py, |producer, ticket| producer.health(ticket, timeout))
    }

    /// A future of (delivered, failed, elapsed seconds), done when everything is released.
    fn stop<'py>(&self, py: Python<'py>, timeout: Duration) -> PyResult<Bound<'py, PyAny>> {
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

    /// Events whose fate is open.
    #[getter]
    fn outstanding(&self, py: Python<'_>) -> PyResult<u64> {
        self.native(py).map(kafka::Producer::outstanding)
    }
}

fn bearer_token((value, principal, expires_at_ms): (String, String, i64)) -> Token {
    Token { value, principal, expires_at_ms }
}

/// The event as it goes over the wire, or None when Pydantic has to decide.
#[pyfunction]
pub fn encode_email<'py>(
    py: Python<'py>,
    email_type: &Bound<'py, PyString>,
    recipient: &Bound<'py, PyAny>,
    username: &Bound<'py, PyAny>,
    link: &Bound<'py, PyAny>,
    metadata: Option<&Bound<'py, PyAny>>,
) -> Option<Bound<'py, PyBytes>> {
    with_buffer(|buffer| {
        encode(buffer, email_type, recipient, username, link, metadata)?;
        Some(PyBytes::new(py, buffer))
    })
}

fn encode(
    out: &mut Vec<u8>,
    email_type: &Bound<'_, PyString>,
    recipient: &Bound<'_, PyAny>,
    username: &Bound<'_, PyAny>,
    link: &Bound<'_, PyAny>,
    metadata: Option<&Bound<'_, PyAny>>,
) -> Option<()> {
    let event = EmailEvent {
        email_type: EmailType::from_name(email_type.to_str().ok()?)?,
        recipient: plain_text(recipient)?,
        username: plain_text(username)?,
        link: plain_text(link)?,
        timestamp: Timestamp::now(),
    };
    if !event.is_certainly_valid() {
        return None;
    }
    out.clear();
    event.write_json(out, |out| metadata::write(out, metadata)).ok()
}

/// The text of a plain `str`; a subclass may mean something else, and a lone surrogate is no text.
fn plain_text<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value.cast_exact::<PyString>().ok()?.to_str().ok()
}

/// Version of the librdkafka inside.
#[pyfunction]
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
