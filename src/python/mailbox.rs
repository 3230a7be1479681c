//! One mailbox for each event loop: the futures that wait there, and the settling of many of them at one wake-up.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use pyo3::IntoPyObjectExt;
use slab::Slab;

use super::exceptions;
use super::record_metadata::RecordMetadata;
use crate::email::EventId;
use crate::kafka::delivery::Acknowledgement;
use crate::kafka::error::{Class, Failure};
use crate::kafka::outcome::{Outcome, OutcomeQueue, Ticket};

/// Outcomes settled before other coroutines get their turn.
const BITE: usize = 256;

static MAILBOXES: Mutex<Vec<Py<Mailbox>>> = Mutex::new(Vec::new());

/// The mailbox of one event loop.
#[pyclass(frozen, module = "kafka_email._core")]
pub struct Mailbox {
    queue: Arc<OutcomeQueue>,
    event_loop: Py<PyAny>,
    create_future: Py<PyAny>,
    journal: Py<PyAny>,
    // Taken for moments, on the loop's thread with the GIL held, and never while Python code runs.
    waiters: Mutex<Slab<Waiter>>,
    rest: Mutex<VecDeque<(u32, Outcome)>>,
}

struct Waiter {
    future: Py<PyAny>,
    event: Option<Event>,
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
                create_future: event_loop.getattr("create_future")?.unbind(),
                journal: py.import("kafka_email._journal")?.unbind().into_any(),
                waiters: Mutex::default(),
                rest: Mutex::default(),
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

    /// A future of this loop and the ticket that settles it.
    pub fn wait<'py>(&self, py: Python<'py>, event: Option<Event>) -> PyResult<(Bound<'py, PyAny>, Ticket)> {
        let future = self.create_future.bind(py).call0()?;
        let slot = self.waiters.lock().insert(Waiter { future: future.clone().unbind(), event });
        // More than 4 billion futures do not fit into memory.
        Ok((future, Ticket::new(self.queue.id(), u32::try_from(slot).unwrap_or(u32::MAX))))
    }

    /// Takes back the ticket of an event that was not taken over, and tells why.
    pub fn refuse(&self, py: Python<'_>, ticket: Ticket, failure: &Failure) -> PyErr {
        let waiter = self.waiters.lock().try_remove(ticket.slot() as usize);
        let event = waiter.and_then(|waiter| waiter.event);
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
        let future = waiter.future.bind(py);
        match (last_word, waiter.event) {
            (Outcome::Delivered(stored), Some(event)) => self.deliver(py, future, event, stored, log_deliveries),
            (Outcome::Failed(failure), event) => self.fail(py, future, event.as_ref(), &failure),
            (Outcome::Stopped(report), _) => {
                resolve(future, (report.delivered, report.failed, report.elapsed.as_secs_f64()))
            }
            (Outcome::Health(health), _) => resolve(
                future,
                (
                    health.healthy,
                    health.brokers,
                    health.latency.map(|latency| latency.as_secs_f64() * 1e3),
                    health.queued,
                    health.in_flight,
                    health.last_error,
                ),
            ),
            _ => resolve(future, ()),
        }
    }

    fn deliver(
        &self,
        py: Python<'_>,
        future: &Bound<'_, PyAny>,
        event: Event,
        stored: Acknowledgement,
        log: bool,
    ) -> PyResult<()> {
        // The result first: an application's log handler may fail.
        let metadata = RecordMetadata::acknowledged(event.topic.clone_ref(py), stored, event.id);
        resolve(future, metadata)?;
        if log {
            let arguments = (event.id.to_string(), event.topic, stored.partition, stored.offset, event.kind);
            self.journal.call_method1(py, intern!(py, "delivered"), arguments)?;
        }
        Ok(())
    }

    /// Tells the waiter, whose slot stays taken because the last word is still to come.
    fn settle_overdue(&self, py: Python<'_>, slot: u32, failure: &Failure) -> PyResult<()> {
        let overdue = {
            let mut waiters = self.waiters.lock();
            let Some(waiter) = waiters.get_mut(slot as usize) else { return Ok(()) };
            (waiter.future.clone_ref(py), waiter.event.take())
        };
        self.fail(py, overdue.0.bind(py), overdue.1.as_ref(), failure)
    }

    fn fail(
        &self,
        py: Python<'_>,
        future: &Bound<'_, PyAny>,
        event: Option<&Event>,
        failure: &Failure,
    ) -> PyResult<()> {
        let exception = exceptions::from_failure(py, failure, event)?;
        if is_open(future)? {
            future.call_method1(intern!(py, "set_exception"), (&exception,))?;
        }
        self.log_failure(py, event, &exception)
    }

    fn log_failure(&self, py: Python<'_>, event: Option<&Event>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(event) = event {
            let arguments = (event.id.to_string(), &event.topic, &event.kind, exception);
            self.journal.call_method1(py, intern!(py, "failed"), arguments)?;
        }
        Ok(())
    }

    fn next_bite(&self) -> Vec<(u32, Outcome)> {
        let mut rest = self.rest.lock();
        if rest.is_empty() {
            *rest = self.queue.take(Vec::new()).into();
        }
        let size = rest.len().min(BITE);
        rest.drain(..size).collect()
    }
}

#[pymethods]
impl Mailbox {
    /// File descriptor (a socket's) that becomes readable when there is something to settle.
    #[cfg(unix)]
    fn fileno(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.queue.bell().listening().as_raw_fd()
    }

    /// Handle of the socket that becomes readable when there is something to settle.
    #[cfg(windows)]
    fn fileno(&self) -> u64 {
        use std::os::windows::io::AsRawSocket;
        self.queue.bell().listening().as_raw_socket()
    }

    /// Settles what has come, a bite at a time. Called by the loop.
    fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, mailbox) = (slf.py(), slf.get());
        let bite = mailbox.next_bite();
        if bite.is_empty() {
            return Ok(());
        }
        let log_deliveries = mailbox.journal.call_method0(py, intern!(py, "logs_deliveries"))?.extract(py)?;
        if !mailbox.rest.lock().is_empty() {
            let again = slf.getattr(intern!(py, "settle"))?;
            mailbox.event_loop.call_method1(py, intern!(py, "call_soon"), (again,))?;
        }
        for (slot, outcome) in bite {
            if let Err(error) = mailbox.settle_one(py, slot, outcome, log_deliveries) {
                // A loop that is closed in the middle of it has nobody left to be told.
                if mailbox.event_loop.call_method0(py, intern!(py, "is_closed"))?.extract(py)? {
                    return Ok(());
                }
                error.write_unraisable(py, Some(slf.as_any()));
            }
        }
        Ok(())
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
        }
    }
    Ok(())
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()
}

fn is_open(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!future.call_method0(intern!(future.py(), "done"))?.extract::<bool>()?)
}

fn resolve<'py>(future: &Bound<'py, PyAny>, result: impl IntoPyObject<'py>) -> PyResult<()> {
    if is_open(future)? {
        let arguments = (result.into_bound_py_any(future.py())?,);
        future.call_method1(intern!(future.py(), "set_result"), arguments)?;
    }
    Ok(())
}
