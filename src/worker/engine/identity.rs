//! What names a partition, an assignment and a record.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PartitionId {
    topic: Arc<str>,
    number: i32,
}

impl PartitionId {
    /// The partition with this number.
    pub fn new(topic: Arc<str>, number: i32) -> Self {
        Self { topic, number }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The number within the topic.
    pub fn number(&self) -> i32 {
        self.number
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.number)
    }
}

/// One assignment of one partition to this worker.
///
/// The consumer counts assignments: a number is never used twice, not even for another partition. So a generation names
/// its partition as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Generation(pub u64);

/// A record of one assignment. The same record has another id after the partition was assigned again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RecordId {
    /// The assignment, and with it the partition.
    pub generation: Generation,
    /// The offset in the partition.
    pub offset: i64,
}

/// Where a record is, and of which type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: i64,
    /// The event type.
    pub event_type: Arc<str>,
    /// The event id, unless the record has none.
    pub event_id: Option<Arc<str>>,
}
