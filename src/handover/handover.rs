//! One event loop is woken once for many items, and never sleeps through one.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

use smallvec::SmallVec;

/// Wakes the loop.
pub(crate) trait Bell {
    /// Called from any thread.
    fn ring(&self);
    /// Called by the loop, which has heard the bell.
    fn clear(&self);
}

/// Waits until the loop has settled everything that it was handed.
pub(crate) trait OnSettled: Send + Sync {
    /// Whether the wait has been long enough.
    fn waited_enough(&self) -> bool;
    /// Called once: everything is settled, or the wait was long enough.
    fn settled(&self);
}

/// Items for one event loop, in the order in which they came.
pub(crate) struct Handover<T, B> {
    pending: Mutex<Pending<T>>,
    // Only the loop touches these two; the lock is held for moments.
    at_hand: Mutex<VecDeque<T>>,
    continues: AtomicBool,
    bell: B,
}

struct Pending<T> {
    items: Vec<T>,
    on_settled: Vec<Arc<dyn OnSettled>>,
}

impl<T, B: Bell> Handover<T, B> {
    pub(crate) fn new(bell: B) -> Self {
        Self {
            pending: Mutex::new(Pending { items: Vec::new(), on_settled: Vec::new() }),
            at_hand: Mutex::new(VecDeque::new()),
            continues: AtomicBool::new(false),
            bell,
        }
    }

    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }

    /// How many items the loop has not taken yet.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.pending).items.len()
    }

    pub(crate) fn push(&self, item: T) {
        self.add(|pending| pending.items.push(item));
    }

    /// Adds the items of one batch and leaves `batch` empty, with its capacity; `on_settled` hears when the loop has
    /// settled them.
    pub(crate) fn append(&self, batch: &mut Vec<T>, on_settled: Option<Arc<dyn OnSettled>>) {
        if !batch.is_empty() {
            self.add(|pending| {
                pending.items.append(batch);
                pending.on_settled.extend(on_settled);
            });
        }
    }

    fn add(&self, add: impl FnOnce(&mut Pending<T>)) {
        let was_empty = {
            let mut pending = lock(&self.pending);
            let was_empty = pending.items.is_empty();
            add(&mut pending);
            was_empty
        };
        if was_empty {
            self.bell.ring();
        }
    }

    /// The loop was woken, or `is_continuation` of its last slice; returns whether it settles now, by [`Self::next`].
    pub(crate) fn begin(&self, is_continuation: bool) -> bool {
        // A continuation is scheduled already: ignore further wake-ups, so that one slice runs per loop iteration.
        if self.continues.load(Ordering::Relaxed) && !is_continuation {
            return false;
        }
        self.continues.store(false, Ordering::Relaxed);
        let mut at_hand = lock(&self.at_hand);
        if at_hand.is_empty() {
            self.bell.clear();
            // Swap the buffers, so that neither side allocates again.
            let empty = Vec::from(mem::take(&mut *at_hand));
            *at_hand = mem::replace(&mut lock(&self.pending).items, empty).into();
        }
        true
    }

    /// The next item to settle in this slice.
    pub(crate) fn next(&self) -> Option<T> {
        lock(&self.at_hand).pop_front()
    }

    /// The slice ends; returns whether the loop has to continue by itself, without another ring.
    pub(crate) fn end(&self) -> bool {
        let nothing_at_hand = lock(&self.at_hand).is_empty();
        let (is_settled, heard) = {
            let mut pending = lock(&self.pending);
            // The ring for what came meanwhile may be used up: loops without `add_reader` read it off the socket.
            let is_settled = nothing_at_hand && pending.items.is_empty();
            let heard = pending.on_settled.extract_if(.., |waits| is_settled || waits.waited_enough());
            (is_settled, heard.collect::<SmallVec<[_; 1]>>())
        };
        for waits in heard {
            waits.settled();
        }
        self.continues.store(!is_settled, Ordering::Relaxed);
        !is_settled
    }
}

/// No code under these locks can leave the data half changed, so a panic of another thread is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
