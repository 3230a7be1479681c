//! What a forked child inherits and must not touch.
//!
//! Threads do not survive a fork, so an inherited producer would never deliver, and its locks may be held for ever by
//! threads that exist in the parent only. The child touches nothing of it, not even to free it.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::producer::METRICS;

/// Forks since the module was imported.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A value with native threads, which belongs to the process that made it.
pub(super) struct ProcessBound<T> {
    // None only while it is dropped.
    value: Option<T>,
    generation: u32,
}

impl<T> ProcessBound<T> {
    /// Binds a value to this process.
    pub(super) fn new(value: T) -> Self {
        Self { value: Some(value), generation: GENERATION.load(Ordering::Relaxed) }
    }

    /// The value; None in a process that was forked since.
    pub(super) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| !self.is_inherited())
    }

    /// Whether a parent process made it.
    pub(super) fn is_inherited(&self) -> bool {
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

/// Everything bound or counted before this belongs to another process. Called in a forked child.
pub(super) fn begin_generation() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    METRICS.reset();
}
