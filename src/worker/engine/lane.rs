//! Lanes: the records of a partition that have the same key, in offset order.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::identity::Generation;
use super::record::Record;

/// A lane, by a hash: two lanes that share one only wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LaneId(Generation, u64);

impl LaneId {
    /// The lane of a record: that of its key, or of its recipient.
    pub fn of(record: &Record) -> Self {
        let mut hasher = DefaultHasher::new();
        match record.key() {
            Some(key) => (true, key).hash(&mut hasher),
            None => (false, record.recipient()).hash(&mut hasher),
        }
        Self(record.id().generation, hasher.finish())
    }
}

/// The lanes of a partition that have unfinished records.
#[derive(Default)]
pub struct Lanes(HashMap<LaneId, VecDeque<i64>>);

impl Lanes {
    /// Puts a record behind the others of its lane, and returns whether it is the first.
    pub fn join(&mut self, lane: LaneId, offset: i64) -> bool {
        let queue = self.0.entry(lane).or_default();
        queue.push_back(offset);
        queue.len() == 1
    }

    /// The verdict on the first of a lane is final: returns the record that is the first now.
    pub fn advance(&mut self, lane: LaneId) -> Option<i64> {
        let Entry::Occupied(mut queue) = self.0.entry(lane) else { return None };
        queue.get_mut().pop_front();
        let first = queue.get().front().copied();
        if first.is_none() {
            queue.remove();
        }
        first
    }
}
