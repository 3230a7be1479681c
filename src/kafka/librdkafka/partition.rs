//! Partitions, and places in them.

use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

/// Where a group stands in a partition, and what it wrote down there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: TopicPartition,
    /// The next record to read.
    pub offset: i64,
    /// Any bytes: another program may have written them.
    pub metadata: Vec<u8>,
}
