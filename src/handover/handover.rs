//! One event loop is woken once for many items, and never sleeps through one.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
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

/// Waits until the loop has settled everything that it was handed, and has run the tasks that waited for it.
pub(crate) trait OnSettled: Send + Sync {
    /// Whether the wait has been long enough.
    fn waited_enough(&self) -> bool;
    /// Called once: everything is settled, or the wait was long enough.
    fn settled(&self);
}

/// Items for one event loop, in the order in which they came.
pub(crate) struct Handover<T, B> {
    pending: Mutex<Pending<T>>,
    // Only the loop touches this; the lock is held for moments.
    taken: Mutex<Taken<T>>,
    bell: B,
}

struct Pending<T> {
    items: Vec<T>,
    on_settled: Vec<Arc<dyn OnSettled>>,
}

/// What the loop has taken.
struct Taken<T> {
    items: VecDeque<T>,
    /// Each of them waits for items that the loop has taken but not settled, or has settled since the last `begin`.
    on_settled: Vec<Arc<dyn OnSettled>>,
}

impl<T, B: Bell> Handover<T, B> {
    pub(crate) fn new(bell: B) -> Self {
        Self {
            pending: Mutex::new(Pending { items: Vec::new(), on_settled: Vec::new() }),
            taken: Mutex::new(Taken { items: VecDeque::new(), on_settled: Vec::new() }),
            bell,
        }
    }

    pub(crate) fn bell(&self) -> &B {
        &self.bell
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

    /// The loop was woken: it settles for a time slice now, item by item.
    ///
    /// It has run the tasks that waited for what it settled in the slice before: the loop looks at its bell after that.
    pub(crate) fn begin(&self) {
        // Clear the bell before taking items: a ring that comes later belongs to the next slice.
        self.bell.clear();
        for waits in self.take() {
            waits.settled();
        }
    }

    /// Takes the pending items if the taken ones are all settled. Returns the waiters whose wait is over.
    fn take(&self) -> SmallVec<[Arc<dyn OnSettled>; 1]> {
        let mut taken = lock(&self.taken);
        let mut pending = lock(&self.pending);
        let is_settled = taken.items.is_empty() && pending.items.is_empty();
        let heard = taken.on_settled.extract_if(.., |waits| is_settled || waits.waited_enough()).collect();
        if taken.items.is_empty() {
            // Swap the buffers, so that neither side allocates again.
            let empty = Vec::from(mem::take(&mut taken.items));
            taken.items = mem::replace(&mut pending.items, empty).into();
            taken.on_settled.append(&mut pending.on_settled);
        }
        heard
    }

    /// The next item to settle in this slice.
    pub(crate) fn next(&self) -> Option<T> {
        lock(&self.taken).items.pop_front()
    }

    /// Makes an item the next one.
    pub(crate) fn put_back(&self, item: T) {
        lock(&self.taken).items.push_front(item);
    }

    /// The slice ends. The loop wakes itself when something is left to do.
    pub(crate) fn end(&self) {
        let is_done = {
            let taken = lock(&self.taken);
            taken.items.is_empty() && taken.on_settled.is_empty()
        };
        // The ring for what is pending may be used up: it came before this slice began.
        if !is_done || !lock(&self.pending).items.is_empty() {
            self.bell.ring();
        }
    }
}

/// No code under these locks can leave the data half changed, so a panic of another thread is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
