//! The event ids that were delivered lately, by which duplicates are recognised.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// The last ids of so many deliveries.
pub struct Delivered {
    window: usize,
    ids: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
}

impl Delivered {
    /// Remembers as many ids.
    pub fn new(window: usize) -> Self {
        Self { window, ids: HashSet::new(), order: VecDeque::new() }
    }

    /// Whether an event with this id was delivered.
    pub fn contains(&self, id: &Arc<str>) -> bool {
        self.ids.contains(id)
    }

    /// An event with this id was delivered.
    pub fn insert(&mut self, id: &Arc<str>) {
        if self.window > 0 && self.ids.insert(Arc::clone(id)) {
            self.order.push_back(Arc::clone(id));
            if self.order.len() > self.window {
                self.order.pop_front().map(|oldest| self.ids.remove(&oldest));
            }
        }
    }
}
