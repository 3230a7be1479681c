//! What a forked child does with its parent's things: it forgets them.
//!
//! Threads do not survive a fork, so an inherited producer would never deliver, and its locks may be held for ever by
//! threads that are not there. Nothing of it is touched, not even to free it.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::pyfunction;

use super::mailbox;

/// Forks since the module was imported.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Something with native threads, which belongs to the process that made it.
pub struct ProcessBound<T> {
    // None only while it is dropped.
    value: Option<T>,
    generation: u32,
}

impl<T> ProcessBound<T> {
    /// Binds a value to this process.
    pub fn new(value: T) -> Self {
        Self { value: Some(value), generation: GENERATION.load(Ordering::Relaxed) }
    }

    /// The value; None in a process that was forked since.
    pub fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| !self.is_inherited())
    }

    /// Whether a parent process made it.
    pub fn is_inherited(&self) -> bool {
        self.generation != GENERATION.load(Ordering::Relaxed)
    }
}

impl<T> Drop for ProcessBound<T> {
    fn drop(&mut self) {
        if self.is_inherited() {
            mem::forget(self.value.take());
        }
    }
}

/// Runs in the child after each fork.
#[pyfunction]
pub fn forget_inherited() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    mailbox::forget_all();
}
