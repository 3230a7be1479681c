//! The handle of a delivery worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::exceptions;
use super::finalization::call;
use super::mail::Mail;
use super::metrics::Histogram;
use super::process_bound::ProcessBound;
use super::token::TokenRef;
use super::worker_job::WorkerJob;
use crate::handover::{Handover, SocketBell};
use crate::worker::{Answer, Detail, Ending, Line, Listener, News, NotStarted, Processed, Settings, Snapshot, Worker};

/// How long news are told before the loop does something else.
const TIME_SLICE: Duration = Duration::from_micros(500);

/// News for the event loop that started the worker.
struct NewsQueue(Handover<News, SocketBell>);

impl Listener for NewsQueue {
    fn tell(&self, news: News) {
        self.0.push(news);
    }
}

/// Handle of a native worker.
#[pyclass(frozen, name = "Worker", weakref, module = "kafka_email._core")]
pub(super) struct WorkerRef {
    native: ProcessBound<(Worker, Arc<NewsQueue>)>,
    listener: Py<PyAny>,
}

impl WorkerRef {
    fn native(&self, py: Python<'_>) -> PyResult<&(Worker, Arc<NewsQueue>)> {
        self.native.get().ok_or_else(|| exceptions::inherited_worker(py))
    }

    fn tell(&self, py: Python<'_>, news: News) -> PyResult<()> {
        let listener = self.listener.bind(py);
        match news {
            News::Line(line) => log(listener, line),
            News::Started => hear(listener, "started", ()),
            News::Call(job) => hear(listener, "call", (WorkerJob::new(py, *job)?,)),
            News::Cancel(number) => hear(listener, "cancel", (number,)),
            News::Processed(processed) => hear(listener, "processed", (span_of(py, *processed)?,)),
            News::Ended(ending) => {
                let (how, text, finished, abandoned) = match ending {
                    Ending::Drained(report) => ("drained", None, report.finished, report.abandoned),
                    Ending::Misconfigured(text) => ("misconfigured", Some(text), 0, 0),
                    Ending::GaveUp(text) => ("gave_up", Some(text), 0, 0),
                };
                hear(listener, "ended", (how, text, finished, abandoned))
            }
        }
    }
}

// PyO3 hands arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl WorkerRef {
    /// Starts a worker.
    #[new]
    fn new(
        settings: &Bound<'_, PyDict>,
        listener: Py<PyAny>,
        log_native: bool,
        kafka_token: Option<&TokenRef>,
        smtp_token: Option<String>,
    ) -> PyResult<Self> {
        let py = settings.py();
        // Do not chain the error: it shows the value, which may be a secret.
        let settings: Settings = pythonize::depythonize(settings)
            .map_err(|_| PyValueError::new_err("the configuration does not fit this version of kafka_email._core"))?;
        let bell = SocketBell::new().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let queue = Arc::new(NewsQueue(Handover::new(bell)));
        let tokens = (kafka_token.map(TokenRef::native), smtp_token);
        let news = Arc::clone(&queue) as Arc<dyn Listener>;
        let started = py.detach(|| Worker::start(&settings, tokens, log_native, news));
        let native = started.map_err(|NotStarted(text)| exceptions::configuration(py, &text))?;
        Ok(Self { native: ProcessBound::new((native, queue)), listener })
    }

    /// File descriptor (a socket's) that becomes readable when there is news.
    #[cfg(unix)]
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        use std::os::fd::AsRawFd;
        Ok(self.native(py)?.1 .0.bell().listening().as_raw_fd())
    }

    /// Handle of the socket that becomes readable when there is news.
    #[cfg(windows)]
    fn fileno(&self, py: Python<'_>) -> PyResult<u64> {
        use std::os::windows::io::AsRawSocket;
        Ok(self.native(py)?.1 .0.bell().listening().as_raw_socket())
    }

    /// Tells the listener what has come, for one time slice. The loop calls it when the socket is readable.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        // A forked child that runs the loop of its parent hears nothing.
        let Some((_, queue)) = self.native.get() else { return Ok(()) };
        let end = Instant::now() + TIME_SLICE;
        queue.0.begin();
        let mut told = Ok(());
        while told.is_ok() && Instant::now() < end {
            match queue.0.next() {
                Some(news) => told = self.tell(py, news),
                None => break,
            }
        }
        queue.0.end();
        told
    }

    /// Lets the records at work finish, commits, and ends; `ended` tells when.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.native(py)?.0.drain();
        Ok(())
    }

    /// Gives everything up at once; `ended` tells when.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.native(py)?.0.abort();
        Ok(())
    }

    /// What a handler did: `handled`, `mail` (with a mail), `retry` (perhaps with a delay in seconds), `permanent`, `drop`
    /// or `failed`.
    #[pyo3(signature = (job, outcome, *, delay_s=None, mail=None))]
    fn answer(
        &self,
        py: Python<'_>,
        job: u64,
        outcome: &str,
        delay_s: Option<f64>,
        mail: Option<Mail>,
    ) -> PyResult<()> {
        let answer = match (outcome, mail) {
            ("handled", None) => Answer::Handled,
            ("mail", Some(mail)) => Answer::Mail(Box::new(mail.into())),
            ("retry", None) => Answer::Retry(delay_s.and_then(|delay| Duration::try_from_secs_f64(delay).ok())),
            ("permanent", None) => Answer::Permanent,
            ("drop", None) => Answer::Drop,
            ("failed", None) => Answer::Failed,
            _ => return Err(PyValueError::new_err("no such outcome")),
        };
        self.native(py)?.0.answer(job, answer);
        Ok(())
    }

    /// Hands over a fresh OAUTHBEARER token for Kafka.
    fn set_token(&self, py: Python<'_>, token: &TokenRef) -> PyResult<()> {
        self.native(py)?.0.set_kafka_token(token.native());
        Ok(())
    }

    /// Hands over a fresh access token for the mail server.
    fn set_smtp_token(&self, py: Python<'_>, token: String) -> PyResult<()> {
        self.native(py)?.0.set_smtp_token(token);
        Ok(())
    }

    /// Counters and gauges.
    fn snapshot(&self, py: Python<'_>) -> PyResult<WorkerSnapshot> {
        Ok(WorkerSnapshot::from(self.native(py)?.0.snapshot()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.listener)
    }
}

/// A worker at one moment.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct WorkerSnapshot {
    /// Ended records: outcome, event type, count.
    records: Vec<(&'static str, String, u64)>,
    /// Attempts: verdict, count.
    attempts: Vec<(&'static str, u64)>,
    /// From the record's timestamp to the 2xx reply, in milliseconds.
    delivery: Histogram,
    at_work: usize,
    waiting: usize,
    is_breaker_open: bool,
    /// Milliseconds since the Unix epoch.
    oldest_unfinished_ms: Option<i64>,
    /// Topic, partition, unfinished records.
    lags: Vec<(String, i32, i64)>,
    connections: usize,
    /// Stage, code, count.
    replies: Vec<(&'static str, u16, u64)>,
    is_connected: bool,
    assigned: usize,
    is_stuck: bool,
}

impl From<Snapshot> for WorkerSnapshot {
    fn from(snapshot: Snapshot) -> Self {
        let gauges = snapshot.gauges;
        let lags = gauges.lags.iter().map(|(id, lag)| (id.topic().to_owned(), id.number(), *lag)).collect();
        Self {
            records: snapshot.records,
            attempts: snapshot.attempts,
            delivery: Histogram::from(snapshot.delivery),
            at_work: gauges.at_work,
            waiting: gauges.waiting,
            is_breaker_open: gauges.is_breaker_open,
            oldest_unfinished_ms: gauges.oldest_unfinished_ms,
            lags,
            connections: snapshot.connections,
            replies: snapshot.replies,
            is_connected: snapshot.is_connected,
            assigned: snapshot.assigned,
            is_stuck: snapshot.is_stuck,
        }
    }
}

fn hear<'py>(
    listener: &Bound<'py, PyAny>,
    method: &str,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error: Into<PyErr>>,
) -> PyResult<()> {
    call(&listener.getattr(method)?, arguments, None).map(drop)
}

fn log(listener: &Bound<'_, PyAny>, line: Line) -> PyResult<()> {
    let details = PyDict::new(listener.py());
    for (name, detail) in line.details {
        match detail {
            Detail::Number(number) => details.set_item(name, number)?,
            Detail::Text(text) => details.set_item(name, text)?,
        }
    }
    hear(listener, "log", (line.level, line.event, line.message, details))
}

fn span_of(py: Python<'_>, processed: Processed) -> PyResult<Bound<'_, PyDict>> {
    let span = PyDict::new(py);
    span.set_item("traceparent", processed.traceparent)?;
    span.set_item("topic", processed.topic)?;
    span.set_item("partition", processed.partition)?;
    span.set_item("offset", processed.offset)?;
    span.set_item("event_id", processed.event_id)?;
    span.set_item("event_type", processed.event_type)?;
    span.set_item("began_ms", processed.began_ms)?;
    span.set_item("ended_ms", processed.ended_ms)?;
    span.set_item("outcome", processed.outcome)?;
    Ok(span)
}
