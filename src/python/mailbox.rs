//! One mailbox for each event loop: who waits there, and the settling of many of them at one wake-up.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use pyo3::IntoPyObjectExt;
use slab::Slab;

use super::batch::Results;
use super::exceptions;
use super::promise::Promise;
use super::record_metadata::RecordMetadata;
use crate::email::EventId;
use crate::kafka::failure::{Class, Failure};
use crate::kafka::librdkafka::event::Acknowledgement;
use crate::producer::metrics::METRICS;
use crate::producer::outcome::{Outcome, OutcomeQueue, Ticket};

/// How long outcomes are settled, and the tasks that wait for them run, before other coroutines get their turn.
const BITE: Duration = Duration::from_millis(1);

static MAILBOXES: Mutex<Vec<Py<Mailbox>>> = Mutex::new(Vec::new());

/// The mailbox of one event loop.
#[pyclass(frozen, module = "kafka_email._core")]
pub struct Mailbox {
    queue: Arc<OutcomeQueue>,
    event_loop: Py<PyAny>,
    journal: Py<PyAny>,
    // Taken for moments, on the loop's thread with the GIL held, and never while Python code runs.
    waiters: Mutex<Slab<Waiter>>,
}

struct Waiter {
    target: Target,
    event: Option<Event>,
}

/// Who gets an outcome.
pub enum Target {
    /// A promise of its own.
    Alone(Py<Promise>),
    /// The results of a batch, at this index.
    Part(Arc<Results>, usize),
    /// Nobody any more: the deadline was the answer.
    Nobody,
}

impl Target {
    fn keep<'py>(&self, py: Python<'py>, result: impl IntoPyObject<'py>) -> PyResult<()> {
        let result = result.into_bound_py_any(py)?;
        match self {
            Self::Alone(promise) => Promise::keep(promise.bind(py), result),
            Self::Part(results, index) => results.put(*index, result),
            Self::Nobody => Ok(()),
        }
    }

    fn fail(&self, exception: Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Alone(promise) => Promise::fail(promise.bind(exception.py()), exception.cast_into()?),
            Self::Part(results, index) => results.put(*index, exception),
            Self::Nobody => Ok(()),
        }
    }

    fn promise(&self) -> Option<&Py<Promise>> {
        match self {
            Self::Alone(promise) => Some(promise),
            Self::Part(results, _) => Some(results.promise()),
            Self::Nobody => None,
        }
    }
}

/// What is told about an event when its fate is known.
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The topic that it is for.
    pub topic: Py<PyString>,
    /// `verification` and so on, or the type of another publisher's event.
    pub kind: Py<PyString>,
}

impl Mailbox {
    /// The mailbox of the running loop, made on the first call there.
    pub fn of_running_loop(py: Python<'_>) -> PyResult<Py<Self>> {
        let event_loop = running_loop(py)?;
        if let Some(mailbox) = MAILBOXES.lock().iter().find(|mailbox| mailbox.get().event_loop.is(&event_loop)) {
            return Ok(mailbox.clone_ref(py));
        }
        Self::open(py, &event_loop)
    }

    fn open(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        discard_closed(py)?;
        let wakeup = py.import("kafka_email._wakeup")?;
        let mailbox = Py::new(
            py,
            Self {
                queue: Arc::new(OutcomeQueue::new()?),
                event_loop: event_loop.clone().unbind(),
                journal: py.import("kafka_email._journal")?.unbind().into_any(),
                waiters: Mutex::default(),
            },
        )?;
        wakeup.call_method1("listen", (event_loop, &mailbox))?;
        MAILBOXES.lock().push(mailbox.clone_ref(py));
        Ok(mailbox)
    }

    /// The queue that native threads push to.
    pub fn queue(&self) -> &Arc<OutcomeQueue> {
        &self.queue
    }

    /// The loop.
    pub fn event_loop(&self) -> &Py<PyAny> {
        &self.event_loop
    }

    /// A promise to this loop, and the ticket that settles it.
    pub fn wait<'py>(slf: &Bound<'py, Self>, event: Option<Event>) -> PyResult<(Bound<'py, Promise>, Ticket)> {
        let promise = Bound::new(slf.py(), Promise::new(slf.clone().unbind()))?;
        let ticket = slf.get().expect_outcome(Target::Alone(promise.clone().unbind()), event);
        Ok((promise, ticket))
    }

    /// The ticket by which an outcome reaches its target.
    pub fn expect_outcome(&self, target: Target, event: Option<Event>) -> Ticket {
        let slot = self.waiters.lock().insert(Waiter { target, event });
        // More than 4 billion waiters do not fit into memory.
        Ticket::new(self.queue.id(), u32::try_from(slot).unwrap_or(u32::MAX))
    }

    /// Takes back the ticket of an event that was not taken over, and tells why.
    pub fn refuse(&self, py: Python<'_>, ticket: Ticket, failure: &Failure) -> PyErr {
        let waiter = self.waiters.lock().try_remove(ticket.slot() as usize);
        let event = waiter.and_then(|waiter| waiter.event);
        METRICS.fail(failure.class);
        let told = exceptions::from_failure(py, failure, event.as_ref()).and_then(|exception| {
            // After a stop there is no log line, as there is none before a start.
            if failure.class != Class::Closed {
                self.log_failure(py, event.as_ref(), &exception)?;
            }
            Ok(exception)
        });
        told.map_or_else(|error| error, PyErr::from_value)
    }

    /// Takes a ticket back that nothing will ever settle.
    pub fn cancel(&self, ticket: Ticket) {
        self.waiters.lock().try_remove(ticket.slot() as usize);
    }

    /// Breaks the cycles between those who wait, their tasks and this mailbox, whose loop will never run them.
    fn abandon(&self) {
        let waiters = mem::take(&mut *self.waiters.lock());
        for (_, waiter) in waiters {
            if let Some(promise) = waiter.target.promise() {
                promise.get().forget_waiters();
            }
        }
    }

    /// Settles what is at hand, until nothing is left of it or time is up.
    fn settle_until(&self, py: Python<'_>, end: Instant) -> PyResult<()> {
        let log_deliveries = self.journal.call_method0(py, intern!(py, "logs_deliveries"))?.extract(py)?;
        while let Some((slot, outcome)) = self.queue.handover().next() {
            if let Err(error) = self.settle_one(py, slot, outcome, log_deliveries) {
                self.survive(py, error)?;
            }
            if Instant::now() >= end {
                break;
            }
        }
        Ok(())
    }

    /// A task or a log handler went wrong. What ends the process ends it here too; the others still get their outcome.
    fn survive(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        if error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py) {
            return Err(error);
        }
        // A loop that is closed in the middle of it has nobody left to be told.
        if !self.event_loop.call_method0(py, intern!(py, "is_closed"))?.extract::<bool>(py)? {
            error.write_unraisable(py, None);
        }
        Ok(())
    }

    fn settle_one(&self, py: Python<'_>, slot: u32, outcome: Outcome, log_deliveries: bool) -> PyResult<()> {
        let last_word = match outcome {
            Outcome::Notice(notice) => {
                let level = format!("{:?}", notice.level).to_uppercase();
                self.journal.call_method1(py, intern!(py, "notice"), (level, notice.event, notice.message))?;
                return Ok(());
            }
            Outcome::Overdue(failure) => return self.settle_overdue(py, slot, &failure),
            last_word => last_word,
        };
        let Some(waiter) = self.waiters.lock().try_remove(slot as usize) else { return Ok(()) };
        match (last_word, waiter.event) {
            (Outcome::Delivered(stored), Some(event)) => {
                self.deliver(py, &waiter.target, event, stored, log_deliveries)
            }
            (Outcome::Failed(failure), event) => self.fail(py, &waiter.target, event.as_ref(), &failure),
            (Outcome::Stopped(report), _) => {
                waiter.target.keep(py, (report.delivered, report.failed, report.elapsed.as_secs_f64()))
            }
            (Outcome::Health(health), _) => waiter.target.keep(
                py,
                (
                    health.healthy,
                    health.brokers,
                    health.latency.map(|latency| latency.as_secs_f64() * 1e3),
                    health.queued,
                    health.in_flight,
                    health.last_error,
                ),
            ),
            _ => waiter.target.keep(py, ()),
        }
    }

    fn deliver(
        &self,
        py: Python<'_>,
        target: &Target,
        event: Event,
        stored: Acknowledgement,
        log: bool,
    ) -> PyResult<()> {
        // The result comes all the same when an application's log handler fails.
        let logged = if log { self.log_delivery(py, &event, stored) } else { Ok(()) };
        target.keep(py, RecordMetadata::acknowledged(event.topic, stored, event.id))?;
        logged
    }

    fn log_delivery(&self, py: Python<'_>, event: &Event, stored: Acknowledgement) -> PyResult<()> {
        let arguments = (event.id.to_string(), &event.topic, stored.partition, stored.offset, &event.kind);
        self.journal.call_method1(py, intern!(py, "delivered"), arguments).map(drop)
    }

    /// Tells the waiter, whose slot stays taken because the last word is still to come.
    fn settle_overdue(&self, py: Python<'_>, slot: u32, failure: &Failure) -> PyResult<()> {
        let told = Waiter { target: Target::Nobody, event: None };
        let overdue = match self.waiters.lock().get_mut(slot as usize) {
            Some(waiter) => mem::replace(waiter, told),
            None => return Ok(()),
        };
        self.fail(py, &overdue.target, overdue.event.as_ref(), failure)
    }

    fn fail(&self, py: Python<'_>, target: &Target, event: Option<&Event>, failure: &Failure) -> PyResult<()> {
        if event.is_some() {
            METRICS.fail(failure.class);
        }
        let exception = exceptions::from_failure(py, failure, event)?;
        let logged = self.log_failure(py, event, &exception);
        target.fail(exception)?;
        logged
    }

    fn log_failure(&self, py: Python<'_>, event: Option<&Event>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(event) = event {
            let arguments = (event.id.to_string(), &event.topic, &event.kind, exception);
            self.journal.call_method1(py, intern!(py, "failed"), arguments)?;
        }
        Ok(())
    }
}

#[pymethods]
impl Mailbox {
    /// File descriptor (a socket's) that becomes readable when there is something to settle.
    #[cfg(unix)]
    fn fileno(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.queue.handover().bell().listening().as_raw_fd()
    }

    /// Handle of the socket that becomes readable when there is something to settle.
    #[cfg(windows)]
    fn fileno(&self) -> u64 {
        use std::os::windows::io::AsRawSocket;
        self.queue.handover().bell().listening().as_raw_socket()
    }

    /// Settles what has come, a bite at a time. Called by the loop: when the socket is readable, and to go on.
    #[pyo3(signature = (goes_on=false))]
    fn settle(slf: &Bound<'_, Self>, goes_on: bool) -> PyResult<()> {
        let (py, mailbox) = (slf.py(), slf.get());
        let handover = mailbox.queue.handover();
        if !handover.begin(goes_on) {
            return Ok(());
        }
        let settled = mailbox.settle_until(py, Instant::now() + BITE);
        if handover.end() {
            let again = slf.getattr(intern!(py, "settle"))?;
            mailbox.event_loop.call_method1(py, intern!(py, "call_soon"), (again, true))?;
        }
        settled
    }
}

/// Lets go of the running loop's mailbox, if nobody waits there, and of those whose loop is closed.
#[pyfunction]
pub fn release_mailboxes(py: Python<'_>) -> PyResult<()> {
    discard_closed(py)?;
    let event_loop = running_loop(py)?;
    let mailbox = {
        let mut mailboxes = MAILBOXES.lock();
        let idle = mailboxes.iter().position(|mailbox| {
            let mailbox = mailbox.get();
            mailbox.event_loop.is(&event_loop) && mailbox.waiters.lock().is_empty()
        });
        idle.map(|index| mailboxes.swap_remove(index))
    };
    if let Some(mailbox) = mailbox {
        py.import("kafka_email._wakeup")?.call_method1("unlisten", (event_loop, mailbox))?;
    }
    Ok(())
}

/// A forked child's view: all mailboxes belong to the parent.
pub fn forget_all() {
    // Freed by nobody: their locks may be held by threads that exist in the parent only.
    mem::forget(mem::take(&mut *MAILBOXES.lock()));
}

fn discard_closed(py: Python<'_>) -> PyResult<()> {
    let all: Vec<Py<Mailbox>> = MAILBOXES.lock().iter().map(|mailbox| mailbox.clone_ref(py)).collect();
    for mailbox in all {
        if mailbox.get().event_loop.call_method0(py, intern!(py, "is_closed"))?.extract(py)? {
            // Dropped when the lock is released: dropping runs Python code.
            let gone: Vec<_> = MAILBOXES.lock().extract_if(.., |kept| kept.is(&mailbox)).collect();
            drop(gone);
            mailbox.get().abandon();
        }
    }
    Ok(())
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()
}
