//! One mailbox for each event loop: the events and questions whose outcome is open, and the settling of many at once.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{IntoPyObjectExt, PyTraverseError, PyVisit};
use slab::Slab;

use super::finalization::call;
use super::home::Home;
use super::process_bound::ProcessBound;
use super::promise::Promise;
use super::record_metadata::RecordMetadata;
use super::reports::{Health, StopCounts};
use super::under_way::{logs_deliveries, UnderWay};
use super::waiter::{Target, Waiter};
use super::{exceptions, results::Results};
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::librdkafka::Acknowledgement;
use crate::kafka::log_line::LogLine;
use crate::producer::{Answer, EventOutcome, Outcome, OutcomeQueue, METRICS};

/// How long outcomes are settled before the loop does something else. It runs the tasks that waited for them in one go,
/// which takes several times as long.
const TIME_SLICE: Duration = Duration::from_micros(250);

/// The mailbox of one event loop, which owns it: whoever else has it keeps the loop alive.
#[pyclass(frozen, weakref, module = "kafka_email._core")]
pub(super) struct Mailbox {
    queue: ProcessBound<Arc<OutcomeQueue>>,
    id: u32,
    event_loop: Py<PyAny>,
    /// The thread that ran the loop.
    home: Home,
    /// Ends the watch over the queue's socket.
    unlisten: Mutex<Option<Py<PyAny>>>,
    /// The module that writes the application's log.
    logging: Py<PyAny>,
    // Taken for moments, on the loop's thread with the GIL held, and never while Python code runs.
    events: Mutex<Slab<Waiter>>,
    questions: Mutex<Slab<Py<Promise>>>,
}

impl Mailbox {
    /// Makes a mailbox, and lets its loop watch it.
    pub(super) fn open<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let queue = Arc::new(new_queue(py)?);
        let mailbox = Self {
            id: queue.id(),
            queue: ProcessBound::new(queue),
            event_loop: event_loop.clone().unbind(),
            home: Home::here(),
            unlisten: Mutex::default(),
            logging: py.import("kafka_email._logging")?.unbind().into_any(),
            events: Mutex::default(),
            questions: Mutex::default(),
        };
        let mailbox = Bound::new(py, mailbox)?;
        let listen = py.import("kafka_email._wakeup")?.getattr("listen")?;
        let unlisten = call(&listen, (event_loop, &mailbox), None)?;
        *mailbox.get().unlisten.lock() = Some(unlisten.unbind());
        Ok(mailbox)
    }

    /// Lets the loop forget the mailbox.
    pub(super) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let unlisten = self.unlisten.lock().take();
        unlisten.map_or(Ok(()), |unlisten| call(unlisten.bind(py), (), None).map(drop))
    }

    pub(super) fn is_of(&self, event_loop: &Bound<'_, PyAny>) -> bool {
        self.event_loop.is(event_loop)
    }

    /// The queue that native threads push to.
    ///
    /// # Errors
    /// When a parent process made it.
    pub(super) fn queue(&self, py: Python<'_>) -> PyResult<&Arc<OutcomeQueue>> {
        self.queue.get().ok_or_else(|| exceptions::inherited(py))
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
    pub(super) fn register_part(&self, results: &Bound<'_, Results>, index: usize, event: UnderWay) -> Ticket {
        self.insert(Target::Part(results.clone().unbind(), index), event)
    }

    fn insert(&self, target: Target, event: UnderWay) -> Ticket {
        let slot = self.events.lock().insert(Waiter { target, under_way: Some(event) });
        self.ticket(slot)
    }

    fn ticket(&self, slot: usize) -> Ticket {
        // More than 4 billion waiters do not fit into memory.
        Ticket::new(self.id, u32::try_from(slot).unwrap_or(u32::MAX))
    }

    /// Forgets an event that was not accepted, and returns the exception that says why.
    pub(super) fn refuse(&self, py: Python<'_>, ticket: Ticket, failure: &Failure) -> PyErr {
        let waiter = self.forget(ticket);
        let event = waiter.and_then(|waiter| waiter.under_way);
        let exception = exceptions::from_failure(py, failure, event.as_ref()).and_then(|exception| {
            event.map_or(Ok(()), |event| event.log_refusal(py, failure, &exception))?;
            Ok(exception)
        });
        exception.map_or_else(|error| error, PyErr::from_value)
    }

    /// Forgets an event that will have no outcome.
    pub(super) fn forget(&self, ticket: Ticket) -> Option<Waiter> {
        self.events.lock().try_remove(ticket.slot() as usize)
    }

    /// Settles what is at hand, until nothing is left of it, time is up, or the application's code fails: a signal
    /// handler, say, or a log handler. The loop then hears of that, as of an error of any callback, and calls again.
    fn settle_until(&self, py: Python<'_>, queue: &OutcomeQueue, end: Instant) -> PyResult<()> {
        let logs_deliveries = logs_deliveries(py)?;
        while let Some(outcome) = queue.handover().next() {
            match outcome {
                Outcome::Event(slot, outcome) => self.settle_event(py, slot, outcome, logs_deliveries)?,
                Outcome::Answer(slot, answer) => self.settle_question(py, slot, answer)?,
                Outcome::Lines(lines) => {
                    if let Some(line) = lines.next() {
                        queue.handover().put_back(Outcome::Lines(lines));
                        self.log(py, line)?;
                    }
                }
            }
            if Instant::now() >= end {
                break;
            }
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
            EventOutcome::Delivered(stored) => Self::deliver(py, &target, event, stored, logs_deliveries),
            EventOutcome::Failed(failure) | EventOutcome::Overdue(failure) => Self::fail(py, &target, &event, &failure),
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
                let (exception, raised) = exceptions::from_failure_for_certain(py, &failure, None);
                return Promise::reject(promise, exception.cast_into()?).and(raised);
            }
        };
        Promise::resolve(promise, answer)
    }

    fn deliver(py: Python<'_>, target: &Target, event: UnderWay, stored: Acknowledgement, logs: bool) -> PyResult<()> {
        // The caller gets the result also when a log handler of the application fails.
        let logged = if logs { event.log_delivery(py, stored, target.context(py)) } else { Ok(()) };
        let stored = RecordMetadata::acknowledged(event.topic, stored, &event.id).into_bound_py_any(py)?;
        target.resolve(stored).and(logged)
    }

    /// Rejects the caller's promise at the deadline. The slot stays taken until the delivery report comes.
    fn settle_overdue(&self, py: Python<'_>, slot: u32, failure: &Failure) -> PyResult<()> {
        let settled = Waiter { target: Target::Nobody, under_way: None };
        let overdue = match self.events.lock().get_mut(slot as usize) {
            Some(waiter) => mem::replace(waiter, settled),
            None => return Ok(()),
        };
        overdue.under_way.map_or(Ok(()), |event| Self::fail(py, &overdue.target, &event, failure))
    }

    fn fail(py: Python<'_>, target: &Target, event: &UnderWay, failure: &Failure) -> PyResult<()> {
        METRICS.fail(failure.kind.class);
        let (exception, raised) = exceptions::from_failure_for_certain(py, failure, Some(event));
        let logged = event.log_failure(py, &exception, target.context(py));
        target.reject(exception).and(raised).and(logged)
    }

    fn log(&self, py: Python<'_>, line: LogLine) -> PyResult<()> {
        let arguments = (line.level.number(), line.event.name(), line.message);
        call(&self.logging.bind(py).getattr(intern!(py, "log_native"))?, arguments, None).map(drop)
    }

    /// Whether nothing waits, and the loop is neither running nor about to be run by another thread.
    pub(super) fn is_left(&self, py: Python<'_>) -> PyResult<bool> {
        if !self.is_unused() || !self.home.is_here_or_over() {
            return Ok(false);
        }
        let is_running = self.event_loop.bind(py).getattr(intern!(py, "is_running"))?;
        Ok(!call(&is_running, (), None)?.extract::<bool>()?)
    }

    pub(super) fn is_unused(&self) -> bool {
        self.events.lock().is_empty() && self.questions.lock().is_empty()
    }
}

// PyO3 hands arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl Mailbox {
    /// File descriptor (a socket's) that becomes readable when there is something to settle.
    #[cfg(unix)]
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        use std::os::fd::AsRawFd;
        Ok(self.queue(py)?.handover().bell().listening().as_raw_fd())
    }

    /// Handle of the socket that becomes readable when there is something to settle.
    #[cfg(windows)]
    fn fileno(&self, py: Python<'_>) -> PyResult<u64> {
        use std::os::windows::io::AsRawSocket;
        Ok(self.queue(py)?.handover().bell().listening().as_raw_socket())
    }

    /// Settles what has come, for one time slice. The loop calls it when the socket is readable.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        // A forked child that runs the loop of its parent has nothing to settle.
        let Some(queue) = self.queue.get() else { return Ok(()) };
        queue.handover().begin();
        let settled = self.settle_until(py, queue, Instant::now() + TIME_SLICE);
        queue.handover().end();
        settled
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // While they are locked somebody uses them: they are no garbage.
        if let Some(unlisten) = self.unlisten.try_lock() {
            visit.call(&*unlisten)?;
        }
        if let Some(events) = self.events.try_lock() {
            events.iter().try_for_each(|(_, waiter)| waiter.target.traverse(&visit))?;
        }
        if let Some(questions) = self.questions.try_lock() {
            questions.iter().try_for_each(|(_, promise)| visit.call(promise))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        // Dropped when the locks are released: dropping may run Python code.
        let events = mem::take(&mut *self.events.lock());
        let questions = mem::take(&mut *self.questions.lock());
        let unlisten = self.unlisten.lock().take();
        drop((events, questions, unlisten));
    }
}

/// Loops that nobody closed keep their descriptors until they are found to be garbage.
fn new_queue(py: Python<'_>) -> PyResult<OutcomeQueue> {
    if let Ok(queue) = OutcomeQueue::new() {
        return Ok(queue);
    }
    py.import("gc")?.call_method0("collect")?;
    Ok(OutcomeQueue::new()?)
}
