//! From many threads to one event loop: it is woken once for many items, and never sleeps through one.
//!
//! `tests/handover` checks every order in which the threads may meet, by loom.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

use super::sync::{AtomicBool, Mutex, Ordering};

/// Wakes the loop.
pub trait Bell {
    /// From any thread.
    fn ring(&self);
    /// The loop has heard it.
    fn hush(&self);
}

/// Someone who waits until the loop has settled everything.
pub trait Turn: Send + Sync {
    /// Whether the wait has been long enough.
    fn is_over(&self) -> bool;
    /// Called once.
    fn end(&self);
}

/// Items for one event loop, in the order in which they came.
pub struct Handover<T, B> {
    pending: Mutex<Pending<T>>,
    // Both are the loop's; locked for moments only.
    at_hand: Mutex<VecDeque<T>>,
    will_go_on: AtomicBool,
    bell: B,
}

struct Pending<T> {
    items: Vec<T>,
    turns: Vec<Arc<dyn Turn>>,
}

impl<T, B: Bell> Handover<T, B> {
    /// Nothing yet, and a bell that the loop hears.
    pub fn new(bell: B) -> Self {
        Self {
            pending: Mutex::new(Pending { items: Vec::new(), turns: Vec::new() }),
            at_hand: Mutex::new(VecDeque::new()),
            will_go_on: AtomicBool::new(false),
            bell,
        }
    }

    /// The bell.
    pub fn bell(&self) -> &B {
        &self.bell
    }

    /// How many items the loop has not taken yet.
    pub fn waiting(&self) -> usize {
        self.pending.lock().items.len()
    }

    /// Adds one item.
    pub fn push(&self, item: T) {
        self.add(|pending| pending.items.push(item));
    }

    /// Adds the items of one batch, leaving `batch` empty with its capacity; `turn` ends when they are settled.
    pub fn append(&self, batch: &mut Vec<T>, turn: Option<Arc<dyn Turn>>) {
        if !batch.is_empty() {
            self.add(|pending| {
                pending.items.append(batch);
                pending.turns.extend(turn);
            });
        }
    }

    fn add(&self, add: impl FnOnce(&mut Pending<T>)) {
        let was_empty = {
            let mut pending = self.pending.lock();
            let was_empty = pending.items.is_empty();
            add(&mut pending);
            was_empty
        };
        if was_empty {
            self.bell.ring();
        }
    }

    /// The loop was woken, or goes on as it was told to: whether it settles now, with [`Handover::next`].
    pub fn begin(&self, goes_on: bool) -> bool {
        // One bite for each round of the loop, however often the bell rings meanwhile.
        if self.will_go_on.load(Ordering::Relaxed) && !goes_on {
            return false;
        }
        self.will_go_on.store(false, Ordering::Relaxed);
        let mut at_hand = self.at_hand.lock();
        if at_hand.is_empty() {
            self.bell.hush();
            // The capacity goes back and forth.
            let empty = Vec::from(mem::take(&mut *at_hand));
            *at_hand = mem::replace(&mut self.pending.lock().items, empty).into();
        }
        true
    }

    /// The next item of those at hand.
    pub fn next(&self) -> Option<T> {
        self.at_hand.lock().pop_front()
    }

    /// The loop does something else for a while; whether it has to go on then, without being woken.
    pub fn end(&self) -> bool {
        let settled = self.at_hand.lock().is_empty();
        let (settled, ended) = {
            let mut pending = self.pending.lock();
            // The ring for what came meanwhile may be used up: loops without `add_reader` take it off the socket.
            let settled = settled && pending.items.is_empty();
            let ended = pending.turns.extract_if(.., |turn| settled || turn.is_over());
            (settled, ended.collect::<SmallVec<[_; 1]>>())
        };
        for turn in ended {
            turn.end();
        }
        self.will_go_on.store(!settled, Ordering::Relaxed);
        !settled
    }
}
