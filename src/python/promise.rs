//! What a coroutine awaits: the outcome of one event, or the answer to one question.
//!
//! asyncio takes any object for a future that follows the protocol of one (`asyncio.isfuture`). A promise is cheaper than
//! an `asyncio.Future`, above all because it resumes its tasks as soon as it is settled: a mailbox settles in a callback
//! of the loop, where no task is running, which saves the way over the loop's list of callbacks.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use smallvec::SmallVec;

/// Takes an event back that still waits for space in the queue.
pub(super) trait Withdraw: Send + Sync {
    fn withdraw(&self, py: Python<'_>) -> PyResult<()>;
}

/// An awaitable of one event loop. The mailbox of that loop settles it, once.
#[pyclass(frozen, module = "kafka_email._core")]
pub(super) struct Promise {
    event_loop: Py<PyAny>,
    // Taken for moments, and never while Python code runs.
    state: Mutex<State>,
    is_yielded: AtomicBool,
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
    context: Option<Py<PyAny>>,
}

impl Promise {
    /// A promise to the coroutines of this loop.
    pub(super) fn new(event_loop: Py<PyAny>) -> Self {
        let open = State::Open { callbacks: Callbacks::new(), withdrawal: None };
        Self { event_loop, state: Mutex::new(open), is_yielded: AtomicBool::new(false) }
    }

    /// Lets a cancellation take something back.
    pub(super) fn withdraw_when_cancelled(&self, what: impl Withdraw + 'static) {
        if let State::Open { withdrawal, .. } = &mut *self.state.lock() {
            *withdrawal = Some(Box::new(what));
        }
    }

    /// Settles with a result, unless it is settled; runs the tasks that wait for it.
    pub(super) fn resolve(slf: &Bound<'_, Self>, result: Bound<'_, PyAny>) -> PyResult<()> {
        Self::settle(slf, State::Resolved(result.unbind()))
    }

    /// Settles with an exception, unless it is settled; runs the tasks that wait for it.
    pub(super) fn reject(slf: &Bound<'_, Self>, exception: Bound<'_, PyBaseException>) -> PyResult<()> {
        Self::settle(slf, State::Rejected(exception.unbind()))
    }

    fn settle(slf: &Bound<'_, Self>, settled: State) -> PyResult<()> {
        let Some(callbacks) = slf.get().close(settled).map(|(callbacks, _)| callbacks) else { return Ok(()) };
        for callback in callbacks {
            match &callback.context {
                Some(context) => {
                    context.bind(slf.py()).call_method1(intern!(slf.py(), "run"), (callback.function, slf))?
                }
                None => callback.function.bind(slf.py()).call1((slf,))?,
            };
        }
        Ok(())
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

    /// Drops the callbacks, because the loop is closed: task and promise would keep each other alive.
    pub(super) fn forget_callbacks(&self) {
        let forgotten = match &mut *self.state.lock() {
            State::Open { callbacks, .. } => mem::take(callbacks),
            _ => Callbacks::new(),
        };
        drop(forgotten);
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

    fn call_soon(slf: &Bound<'_, Self>, callback: Callback) -> PyResult<()> {
        let arguments = PyDict::new(slf.py());
        if let Some(context) = callback.context {
            arguments.set_item(intern!(slf.py(), "context"), context)?;
        }
        let event_loop = slf.get().event_loop.bind(slf.py());
        event_loop.call_method(intern!(slf.py(), "call_soon"), (callback.function, slf), Some(&arguments))?;
        Ok(())
    }
}

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
        let Some((callbacks, withdrawal)) = slf.get().close(State::Cancelled(msg)) else { return Ok(false) };
        if let Some(withdrawal) = withdrawal {
            withdrawal.withdraw(slf.py())?;
        }
        for callback in callbacks {
            Self::call_soon(slf, callback)?;
        }
        Ok(true)
    }

    /// As ``asyncio.Future.add_done_callback``.
    #[pyo3(signature = (function, /, *, context=None))]
    fn add_done_callback(slf: &Bound<'_, Self>, function: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let callback = Callback { function, context };
        if let State::Open { callbacks, .. } = &mut *slf.get().state.lock() {
            callbacks.push(callback);
            return Ok(());
        }
        Self::call_soon(slf, callback)
    }

    /// As ``asyncio.Future.remove_done_callback``.
    fn remove_done_callback(&self, function: &Bound<'_, PyAny>) -> PyResult<usize> {
        // Compared outside of the lock: comparing may run Python code.
        let callbacks = match &mut *self.state.lock() {
            State::Open { callbacks, .. } => mem::take(callbacks),
            _ => return Ok(0),
        };
        let before = callbacks.len();
        let mut kept = Callbacks::new();
        for callback in callbacks {
            if !callback.function.bind(function.py()).eq(function)? {
                kept.push(callback);
            }
        }
        let removed = before - kept.len();
        if let State::Open { callbacks, .. } = &mut *self.state.lock() {
            kept.append(callbacks);
            *callbacks = kept;
        }
        Ok(removed)
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
