//! One alarm for each record at most.

use std::collections::{BTreeSet, HashMap};

use super::identity::RecordId;

/// Alarms by their time, on a clock of any kind.
pub struct Timers<T> {
    due: BTreeSet<(T, RecordId)>,
    of: HashMap<RecordId, T>,
}

impl<T: Copy + Ord> Timers<T> {
    /// No alarm.
    pub fn new() -> Self {
        Self { due: BTreeSet::new(), of: HashMap::new() }
    }

    /// Sets the alarm of a record, in the place of the one that it had.
    pub fn set(&mut self, id: RecordId, at: T) {
        self.clear(id);
        self.due.insert((at, id));
        self.of.insert(id, at);
    }

    /// The record needs no alarm.
    pub fn clear(&mut self, id: RecordId) {
        if let Some(at) = self.of.remove(&id) {
            self.due.remove(&(at, id));
        }
    }

    /// When the first alarm is due.
    pub fn first(&self) -> Option<T> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the first alarm that is due.
    pub fn pop(&mut self, now: T) -> Option<RecordId> {
        let id = self.due.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)?;
        self.clear(id);
        Some(id)
    }
}

impl<T: Copy + Ord> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}
