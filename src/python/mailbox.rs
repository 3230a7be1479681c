//! One mailbox for each event loop: the events and questions whose outcome is open, and the settling of many at once.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::IntoPyObjectExt;
use slab::Slab;

use super::process_bound;
use super::promise::Promise;
use super::record_metadata::RecordMetadata;
use super::reports::{Health, StopCounts};
use super::under_way::UnderWay;
use super::waiter::{Target, Waiter};
use super::{exceptions, results::Results};
use crate::handover::Ticket;
use crate::kafka::failure::{Class, Failure};
use crate::kafka::librdkafka::Acknowledgement;
use crate::kafka::log_line::LogLine;
use crate::producer::{Answer, EventOutcome, Outcome, OutcomeQueue, METRICS};

/// How long outcomes are settled, and the tasks that wait for them run, before the loop does something else.
const TIME_SLICE: Duration = Duration::from_millis(1);

static MAILBOXES: Mutex<Vec<Py<Mailbox>>> = Mutex::new(Vec::new());

/// The mailbox of one event loop.
#[pyclass(frozen, module = "kafka_email._core")]
pub(super) struct Mailbox {
    queue: Arc<OutcomeQueue>,
    event_loop: Py<PyAny>,
    /// The module that writes the application's log.
    logging: Py<PyAny>,
    // Taken for moments, on the loop's thread with the GIL held, and never while Python code runs.
    events: Mutex<Slab<Waiter>>,
    questions: Mutex<Slab<Py<Promise>>>,
}

impl Mailbox {
    /// The mailbox of the running loop, made by the first call there.
    pub(super) fn of_running_loop(py: Python<'_>) -> PyResult<Py<Self>> {
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
                logging: py.import("kafka_email._logging")?.unbind().into_any(),
                events: Mutex::default(),
                questions: Mutex::default(),
            },
        )?;
        wakeup.call_method1("listen", (event_loop, &mailbox))?;
        MAILBOXES.lock().push(mailbox.clone_ref(py));
        Ok(mailbox)
    }

    /// The queue that native threads push to.
    pub(super) fn queue(&self) -> &Arc<OutcomeQueue> {
        &self.queue
    }

    /// A promise of this loop.
    pub(super) fn promise<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Promise>> {
        Bound::new(py, Promise::new(self.event_loop.clone_ref(py)))
    }

    /// Registers a question; its answer settles the promise.
    pub(super) fn register_question<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, Promise>, Ticket)> {
        let promise = self.promise(py)?;
        let slot = self.questions.lock().insert(promise.clone().unbind());
        Ok((promise, self.ticket(slot)))
    }

    /// Registers an event; its outcome settles the promise.
    pub(super) fn register<'py>(&self, py: Python<'py>, event: UnderWay) -> PyResult<(Bound<'py, Promise>, Ticket)> {
        let promise = self.promise(py)?;
        let ticket = self.insert(Target::Alone(promise.clone().unbind()), event);
        Ok((promise, ticket))
    }

    /// Registers an event of a batch; its outcome becomes the result at the index.
    pub(super) fn register_part(&self, results: &Arc<Results>, index: usize, event: UnderWay) -> Ticket {
        self.insert(Target::Part(Arc::clone(results), index), event)
    }

    fn insert(&self, target: Target, event: UnderWay) -> Ticket {
        let slot = self.events.lock().insert(Waiter { target, under_way: Some(event) });
        self.ticket(slot)
    }

    fn ticket(&self, slot: usize) -> Ticket {
        // More than 4 billion waiters do not fit into memory.
        Ticket::new(self.queue.id(), u32::try_from(slot).unwrap_or(u32::MAX))
    }

    /// Forgets an event that was not accepted, and returns the exception that says why.
    pub(super) fn refuse(&self, py: Python<'_>, ticket: Ticket, failure: &Failure) -> PyErr {
        let waiter = self.forget(ticket);
        let event = waiter.and_then(|waiter| waiter.under_way);
        METRICS.fail(failure.kind.class);
        let exception = exceptions::from_failure(py, failure, event.as_ref()).and_then(|exception| {
            // After a stop there is no log line, as there is none before a start.
            if let (Some(event), false) = (&event, failure.kind.class == Class::Closed) {
                self.log_failure(py, event, &exception)?;
            }
            Ok(exception)
        });
        exception.map_or_else(|error| error, PyErr::from_value)
    }

    /// Forgets an event that will have no outcome.
    pub(super) fn forget(&self, ticket: Ticket) -> Option<Waiter> {
        self.events.lock().try_remove(ticket.slot() as usize)
    }

    /// Breaks the cycles between promises, their tasks and this mailbox, whose loop will never run them.
    fn abandon(&self, py: Python<'_>) {
        let events = mem::take(&mut *self.events.lock());
        let questions = mem::take(&mut *self.questions.lock());
        let of_events = events.iter().filter_map(|(_, waiter)| waiter.target.promise());
        for promise in of_events.chain(questions.iter().map(|(_, promise)| promise)) {
            promise.bind(py).get().forget_callbacks();
        }
    }

    /// Settles what is at hand, until nothing is left of it or time is up.
    fn settle_until(&self, py: Python<'_>, end: Instant) -> PyResult<()> {
        let logs_deliveries = self.logging.call_method0(py, intern!(py, "logs_deliveries"))?.extract(py)?;
        while let Some(outcome) = self.queue.handover().next() {
            let settled = match outcome {
                Outcome::Event(slot, outcome) => self.settle_event(py, slot, outcome, logs_deliveries),
                Outcome::Answer(slot, answer) => self.settle_question(py, slot, answer),
                Outcome::Log(line) => self.log(py, *line),
            };
            if let Err(error) = settled {
                self.report_unraisable(py, error)?;
            }
            if Instant::now() >= end {
                break;
            }
        }
        Ok(())
    }

    /// `KeyboardInterrupt` and `SystemExit` propagate; other exceptions of resumed tasks and of log handlers go to
    /// `sys.unraisablehook`, so that settling goes on.
    fn report_unraisable(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        if error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py) {
            return Err(error);
        }
        // Nothing is left to report to when the loop was closed in the middle of it.
        if !self.event_loop.call_method0(py, intern!(py, "is_closed"))?.extract::<bool>(py)? {
            error.write_unraisable(py, None);
        }
        Ok(())
    }

    fn settle_event(&self, py: Python<'_>, slot: u32, outcome: EventOutcome, logs_deliveries: bool) -> PyResult<()> {
        if let EventOutcome::Overdue(failure) = outcome {
            return self.settle_overdue(py, slot, &failure);
        }
        let Some(Waiter { target, under_way }) = self.events.lock().try_remove(slot as usize) else { return Ok(()) };
        // Without it the caller has had its failure at the deadline.
        let Some(event) = under_way else { return Ok(()) };
        match outcome {
            EventOutcome::Delivered(stored) => self.deliver(py, &target, event, stored, logs_deliveries),
            EventOutcome::Failed(failure) | EventOutcome::Overdue(failure) => self.fail(py, &target, &event, &failure),
        }
    }

    fn settle_question(&self, py: Python<'_>, slot: u32, answer: Result<Answer, Box<Failure>>) -> PyResult<()> {
        let Some(promise) = self.questions.lock().try_remove(slot as usize) else { return Ok(()) };
        let promise = promise.bind(py);
        let answer = match answer {
            Ok(Answer::Started) => py.None().into_bound(py),
            Ok(Answer::Stopped(report)) => StopCounts::from(report).into_bound_py_any(py)?,
            Ok(Answer::Health(health)) => Health::from(*health).into_bound_py_any(py)?,
            Err(failure) => {
                return Promise::reject(promise, exceptions::from_failure(py, &failure, None)?.cast_into()?)
            }
        };
        Promise::resolve(promise, answer)
    }

    fn deliver(
        &self,
        py: Python<'_>,
        target: &Target,
        event: UnderWay,
        stored: Acknowledgement,
        logs: bool,
    ) -> PyResult<()> {
        // The caller gets the result also when a log handler of the application fails.
        let logged = if logs { self.log_delivery(py, &event, stored) } else { Ok(()) };
        target.resolve(RecordMetadata::acknowledged(event.topic, stored, event.id).into_bound_py_any(py)?)?;
        logged
    }

    /// Rejects the caller's promise at the deadline. The slot stays taken until the delivery report comes.
    fn settle_overdue(&self, py: Python<'_>, slot: u32, failure: &Failure) -> PyResult<()> {
        let settled = Waiter { target: Target::Nobody, under_way: None };
        let overdue = match self.events.lock().get_mut(slot as usize) {
            Some(waiter) => mem::replace(waiter, settled),
            None => return Ok(()),
        };
        overdue.under_way.map_or(Ok(()), |event| self.fail(py, &overdue.target, &event, failure))
    }

    fn fail(&self, py: Python<'_>, target: &Target, event: &UnderWay, failure: &Failure) -> PyResult<()> {
        METRICS.fail(failure.kind.class);
        let exception = exceptions::from_failure(py, failure, Some(event))?;
        let logged = self.log_failure(py, event, &exception);
        target.reject(exception)?;
        logged
    }

    fn log(&self, py: Python<'_>, line: LogLine) -> PyResult<()> {
        let arguments = (line.level.number(), line.event.name(), line.message);
        self.logging.call_method1(py, intern!(py, "log_native"), arguments).map(drop)
    }

    fn log_delivery(&self, py: Python<'_>, event: &UnderWay, stored: Acknowledgement) -> PyResult<()> {
        let arguments = (event.id.to_string(), &event.topic, stored.partition, stored.offset, &event.event_type);
        self.logging.call_method1(py, intern!(py, "delivered"), arguments).map(drop)
    }

    fn log_failure(&self, py: Python<'_>, event: &UnderWay, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let arguments = (event.id.to_string(), &event.topic, &event.event_type, exception);
        self.logging.call_method1(py, intern!(py, "failed"), arguments).map(drop)
    }

    fn is_unused(&self) -> bool {
        self.events.lock().is_empty() && self.questions.lock().is_empty()
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

    /// Settles what has come, for one time slice. The loop calls it when the socket is readable, and to continue.
    #[pyo3(signature = (continues=false))]
    fn settle(slf: &Bound<'_, Self>, continues: bool) -> PyResult<()> {
        let (py, mailbox) = (slf.py(), slf.get());
        let handover = mailbox.queue.handover();
        if !handover.begin(continues) {
            return Ok(());
        }
        let settled = mailbox.settle_until(py, Instant::now() + TIME_SLICE);
        if handover.end() {
            let again = slf.getattr(intern!(py, "settle"))?;
            mailbox.event_loop.call_method1(py, intern!(py, "call_soon"), (again, true))?;
        }
        settled
    }
}

/// Drops the running loop's mailbox if nothing is pending in it, and the mailboxes of closed loops.
#[pyfunction]
pub(super) fn release_mailboxes(py: Python<'_>) -> PyResult<()> {
    discard_closed(py)?;
    let event_loop = running_loop(py)?;
    let mailbox = {
        let mut mailboxes = MAILBOXES.lock();
        let unused = mailboxes.iter().position(|mailbox| {
            let mailbox = mailbox.get();
            mailbox.event_loop.is(&event_loop) && mailbox.is_unused()
        });
        unused.map(|index| mailboxes.swap_remove(index))
    };
    if let Some(mailbox) = mailbox {
        py.import("kafka_email._wakeup")?.call_method1("unlisten", (event_loop, mailbox))?;
    }
    Ok(())
}

/// Leaves everything that has native threads to the parent process. Runs in the child after each fork.
#[pyfunction]
pub(super) fn forget_inherited() {
    process_bound::begin_generation();
    // Nobody frees the mailboxes: threads that exist in the parent only may hold their locks.
    mem::forget(mem::take(&mut *MAILBOXES.lock()));
}

fn discard_closed(py: Python<'_>) -> PyResult<()> {
    let all: Vec<Py<Mailbox>> = MAILBOXES.lock().iter().map(|mailbox| mailbox.clone_ref(py)).collect();
    for mailbox in all {
        if mailbox.get().event_loop.call_method0(py, intern!(py, "is_closed"))?.extract(py)? {
            // Dropped when the lock is released: dropping runs Python code.
            let gone: Vec<_> = MAILBOXES.lock().extract_if(.., |kept| kept.is(&mailbox)).collect();
            drop(gone);
            mailbox.get().abandon(py);
        }
    }
    Ok(())
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()
}
