//! Which event loop has which mailbox.

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use super::finalization::call;
use super::mailbox::Mailbox;
use super::process_bound;

/// The mailbox of a loop. The loop keeps it alive, so that both are garbage together.
struct Entry {
    loop_address: usize,
    mailbox: Py<PyWeakrefReference>,
}

// Locked for moments, with the GIL held, and never while Python code runs.
static MAILBOXES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

impl Entry {
    /// The mailbox, unless its loop is gone.
    fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Mailbox>> {
        self.mailbox.bind(py).upgrade_as::<Mailbox>().ok().flatten()
    }
}

/// The mailbox of the running loop, made by the first call there.
pub(super) fn of_running_loop(py: Python<'_>) -> PyResult<Py<Mailbox>> {
    let event_loop = running_loop(py)?;
    if let Some(mailbox) = find(&event_loop) {
        return Ok(mailbox.unbind());
    }
    close_left(py)?;
    let mailbox = Mailbox::open(&event_loop)?;
    let entry =
        Entry { loop_address: event_loop.as_ptr() as usize, mailbox: PyWeakrefReference::new(&mailbox)?.unbind() };
    let mut mailboxes = MAILBOXES.lock();
    mailboxes.retain(|entry| entry.get(py).is_some());
    mailboxes.push(entry);
    Ok(mailbox.unbind())
}

/// As [`of_running_loop`]; None where no loop runs.
pub(super) fn of_running_loop_if_any(py: Python<'_>) -> PyResult<Option<Py<Mailbox>>> {
    if running_loop_or_none(py).is_none() {
        return Ok(None);
    }
    of_running_loop(py).map(Some)
}

fn find<'py>(event_loop: &Bound<'py, PyAny>) -> Option<Bound<'py, Mailbox>> {
    let address = event_loop.as_ptr() as usize;
    let mailboxes = MAILBOXES.lock();
    let mut of_loop = mailboxes.iter().filter(|entry| entry.loop_address == address);
    // Another loop may have been at this address before.
    of_loop.find_map(|entry| entry.get(event_loop.py()).filter(|mailbox| mailbox.get().is_of(event_loop)))
}

/// Drops the running loop's mailbox if nothing is pending in it.
#[pyfunction]
pub(super) fn release_mailbox(py: Python<'_>) -> PyResult<()> {
    match find(&running_loop(py)?) {
        Some(mailbox) if mailbox.get().is_unused() => release(&mailbox),
        _ => Ok(()),
    }
}

/// Drops the mailboxes of loops that are left, it seems: a loop for each job, say, that nobody closes. Those of uvloop
/// are never garbage. One that publishes again gets another mailbox.
fn close_left(py: Python<'_>) -> PyResult<()> {
    let mailboxes: Vec<_> = MAILBOXES.lock().iter().filter_map(|entry| entry.get(py)).collect();
    for mailbox in mailboxes {
        if mailbox.get().is_left(py)? {
            release(&mailbox)?;
        }
    }
    Ok(())
}

fn release(mailbox: &Bound<'_, Mailbox>) -> PyResult<()> {
    let py = mailbox.py();
    MAILBOXES.lock().retain(|entry| entry.get(py).is_some_and(|other| !other.is(mailbox)));
    mailbox.get().close(py)
}

/// Leaves everything that has native threads to the parent process. Runs in the child after each fork.
#[pyfunction]
pub(super) fn forget_inherited() {
    process_bound::begin_generation();
    MAILBOXES.lock().clear();
}

fn running_loop_or_none(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop").and_then(Bound::call0).ok()
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match running_loop_or_none(py) {
        Some(running) => Ok(running),
        // Say so in the words of this package.
        None => call(&py.import("kafka_email._wakeup")?.getattr(intern!(py, "running_loop"))?, (), None),
    }
}
