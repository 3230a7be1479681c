//! What a coroutine awaits: the outcome of one event, or the answer to one question.
//!
//! asyncio takes any object for a future that follows the protocol of one (`asyncio.isfuture`). A promise is cheaper than
//! an `asyncio.Future`, and resumes its tasks in the same way: by the loop's `call_soon`, in the context of the task.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};
use smallvec::SmallVec;

use super::context::copy_context;
use super::finalization::call;

/// Takes an event back that still waits for space in the queue.
pub(super) trait Withdraw: Send + Sync {
    fn withdraw(&self, py: Python<'_>) -> PyResult<()>;
    /// Shows the garbage collector what it refers to.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// An awaitable of one event loop. The mailbox of that loop settles it, once.
#[pyclass(frozen, module = "kafka_email._core")]
pub(super) struct Promise {
    event_loop: Py<PyAny>,
    // Taken for moments, and never while Python code runs.
    state: Mutex<State>,
    is_yielded: AtomicBool,
    /// Whether somebody has asked for the outcome, as a task does when it is resumed.
    is_taken: AtomicBool,
}

enum State {
    Open { callbacks: Callbacks, withdrawal: Option<Box<dyn Withdraw>> },
    Resolved(Py<PyAny>),
    Rejected(Py<PyBaseException>),
    Cancelled(Option<Py<PyAny>>),
}

/// Nearly always one: the task that awaits.
type Callbacks = SmallVec<[Callback; 1]>;

struct Callback {
    function: Py<PyAny>,
    context: Py<PyAny>,
}

impl Promise {
    /// A promise to the coroutines of this loop.
    pub(super) fn new(event_loop: Py<PyAny>) -> Self {
        let open = State::Open { callbacks: Callbacks::new(), withdrawal: None };
        let (is_yielded, is_taken) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { event_loop, state: Mutex::new(open), is_yielded, is_taken }
    }

    /// Lets a cancellation take something back.
    pub(super) fn withdraw_when_cancelled(&self, what: impl Withdraw + 'static) {
        if let State::Open { withdrawal, .. } = &mut *self.state.lock() {
            *withdrawal = Some(Box::new(what));
        }
    }

    /// The context of whoever waits for it, if somebody does.
    pub(super) fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*self.state.lock() {
            State::Open { callbacks, .. } => callbacks.first().map(|callback| callback.context.clone_ref(py)),
            _ => None,
        }
    }

    /// Settles with a result, unless it is settled; the loop resumes the tasks that wait for it.
    pub(super) fn resolve(slf: &Bound<'_, Self>, result: Bound<'_, PyAny>) -> PyResult<()> {
        Self::settle(slf, State::Resolved(result.unbind()))
    }

    /// Settles with an exception, unless it is settled; the loop resumes the tasks that wait for it.
    pub(super) fn reject(slf: &Bound<'_, Self>, exception: Bound<'_, PyBaseException>) -> PyResult<()> {
        Self::settle(slf, State::Rejected(exception.unbind()))
    }

    fn settle(slf: &Bound<'_, Self>, settled: State) -> PyResult<()> {
        let Some(callbacks) = slf.get().close(settled).map(|(callbacks, _)| callbacks) else { return Ok(()) };
        Self::call_all_soon(slf, callbacks)
    }

    fn close(&self, settled: State) -> Option<(Callbacks, Option<Box<dyn Withdraw>>)> {
        let mut state = self.state.lock();
        if !matches!(&*state, State::Open { .. }) {
            return None;
        }
        match mem::replace(&mut *state, settled) {
            State::Open { callbacks, withdrawal } => Some((callbacks, withdrawal)),
            _ => None,
        }
    }

    /// What the awaiting coroutine gets, if the promise is settled.
    fn outcome(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        match &*self.state.lock() {
            State::Open { .. } => None,
            State::Resolved(result) => Some(Ok(result.clone_ref(py))),
            State::Rejected(exception) => Some(Err(PyErr::from_value(exception.bind(py).clone().into_any()))),
            State::Cancelled(message) => Some(Err(match message {
                Some(message) => CancelledError::new_err((message.clone_ref(py),)),
                None => CancelledError::new_err(()),
            })),
        }
    }

    /// Lets the loop call all of them; returns the first error of it.
    fn call_all_soon(slf: &Bound<'_, Self>, callbacks: Callbacks) -> PyResult<()> {
        callbacks.into_iter().map(|callback| Self::call_soon(slf, &callback)).fold(Ok(()), Result::and)
    }

    fn call_soon(slf: &Bound<'_, Self>, callback: &Callback) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().event_loop.bind(py);
        let context = PyDict::new(py);
        context.set_item(intern!(py, "context"), &callback.context)?;
        let call_soon = event_loop.getattr(intern!(py, "call_soon"))?;
        let Err(raised) = call(&call_soon, (&callback.function, slf), Some(&context)) else { return Ok(()) };
        if is_closed(event_loop)? {
            // Nobody waits there any more.
            return Ok(());
        }
        // A signal handler raised in there, before the loop had the callback or after it.
        let again = (slf.getattr(intern!(py, "_resume"))?, &callback.function);
        let _ = call(&call_soon, again, Some(&context));
        Err(raised)
    }
}

fn is_closed(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    call(&event_loop.getattr(intern!(event_loop.py(), "is_closed"))?, (), None)?.extract()
}

// PyO3 hands arguments over by value.
#[allow(clippy::needless_pass_by_value)]
#[pymethods]
impl Promise {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        match slf.get().outcome(slf.py()) {
            None => {
                slf.get().is_yielded.store(true, Ordering::Relaxed);
                Ok(slf.clone().unbind())
            }
            Some(outcome) => Err(PyStopIteration::new_err((outcome?,))),
        }
    }

    /// Whether a coroutine has just yielded it to its task; part of asyncio's protocol.
    #[getter(_asyncio_future_blocking)]
    fn is_yielded(&self) -> bool {
        self.is_yielded.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_yielded(&self, is_yielded: bool) {
        self.is_yielded.store(is_yielded, Ordering::Relaxed);
    }

    /// As ``asyncio.Future.get_loop``.
    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    /// As ``asyncio.Future.done``.
    fn done(&self) -> bool {
        !matches!(&*self.state.lock(), State::Open { .. })
    }

    /// As ``asyncio.Future.cancelled``.
    fn cancelled(&self) -> bool {
        matches!(&*self.state.lock(), State::Cancelled(_))
    }

    /// As ``asyncio.Future.result``.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.is_taken.store(true, Ordering::Relaxed);
        self.outcome(py).ok_or_else(|| InvalidStateError::new_err("Result is not set."))?
    }

    /// As ``asyncio.Future.exception``.
    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyBaseException>>> {
        if let State::Rejected(exception) = &*self.state.lock() {
            return Ok(Some(exception.clone_ref(py)));
        }
        self.result(py).map(|_| None)
    }

    /// As ``asyncio.Future.cancel``: the event is delivered all the same, unless it still waits for space in the queue.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let event_loop = slf.get().event_loop.bind(slf.py());
        if is_closed(event_loop)? {
            // A coroutine cancels while it is destroyed, with its task as the last callback: keep that until it is over.
            let withdrawal = match &mut *slf.get().state.lock() {
                State::Open { withdrawal, .. } => withdrawal.take(),
                _ => None,
            };
            withdrawal.map_or(Ok(()), |withdrawal| withdrawal.withdraw(slf.py()))?;
            return Ok(false);
        }
        let Some((callbacks, withdrawal)) = slf.get().close(State::Cancelled(msg)) else { return Ok(false) };
        let withdrawn = withdrawal.map_or(Ok(()), |withdrawal| withdrawal.withdraw(slf.py()));
        Self::call_all_soon(slf, callbacks).and(withdrawn)?;
        Ok(true)
    }

    /// Calls a callback, unless it was called already.
    fn _resume(slf: &Bound<'_, Self>, function: &Bound<'_, PyAny>) -> PyResult<()> {
        if !slf.get().is_taken.load(Ordering::Relaxed) {
            call(function, (slf,), None)?;
        }
        Ok(())
    }

    /// As ``asyncio.Future.add_done_callback``.
    #[pyo3(signature = (function, /, *, context=None))]
    fn add_done_callback(slf: &Bound<'_, Self>, function: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let context = match context {
            Some(context) => context,
            None => copy_context(slf.py())?.unbind(),
        };
        let callback = Callback { function, context };
        if let State::Open { callbacks, .. } = &mut *slf.get().state.lock() {
            callbacks.push(callback);
            return Ok(());
        }
        Self::call_soon(slf, &callback)
    }

    /// As ``asyncio.Future.remove_done_callback``.
    fn remove_done_callback(&self, function: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = function.py();
        let others: SmallVec<[Py<PyAny>; 1]> = match &*self.state.lock() {
            State::Open { callbacks, .. } => callbacks.iter().map(|callback| callback.function.clone_ref(py)).collect(),
            _ => return Ok(0),
        };
        // Outside of the lock: comparing may run Python code, and dropping too.
        let mut equal: SmallVec<[Py<PyAny>; 1]> = SmallVec::new();
        for other in others {
            if other.bind(py).eq(function)? {
                equal.push(other);
            }
        }
        let removed: Callbacks = match &mut *self.state.lock() {
            State::Open { callbacks, .. } => {
                let (removed, kept) =
                    mem::take(callbacks).into_iter().partition(|one| equal.iter().any(|other| other.is(&one.function)));
                *callbacks = kept;
                removed
            }
            _ => Callbacks::new(),
        };
        Ok(removed.len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // While it is locked somebody uses it: it is no garbage.
        match self.state.try_lock().as_deref() {
            Some(State::Open { callbacks, withdrawal }) => {
                for Callback { function, context } in callbacks {
                    visit.call(function)?;
                    visit.call(context)?;
                }
                withdrawal.as_ref().map_or(Ok(()), |withdrawal| withdrawal.traverse(&visit))
            }
            Some(State::Resolved(result)) => visit.call(result),
            Some(State::Rejected(exception)) => visit.call(exception),
            Some(State::Cancelled(message)) => visit.call(message),
            None => Ok(()),
        }
    }

    fn __clear__(&self) {
        // Dropped when the lock is released: dropping may run Python code.
        let garbage = mem::replace(&mut *self.state.lock(), State::Cancelled(None));
        drop(garbage);
    }

    fn __repr__(&self) -> &'static str {
        match &*self.state.lock() {
            State::Open { .. } => "<Promise pending>",
            State::Resolved(_) => "<Promise resolved>",
            State::Rejected(_) => "<Promise rejected>",
            State::Cancelled(_) => "<Promise cancelled>",
        }
    }
}
