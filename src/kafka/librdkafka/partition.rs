//! Partitions, and places in them.

use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicPartition {
    /// The topic's name.
    pub(crate) topic: Arc<str>,
    /// The partition's number.
    pub(crate) partition: i32,
}

/// Where a group stands in a partition, and what it wrote down there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The partition.
    pub(crate) partition: TopicPartition,
    /// The next record to read.
    pub(crate) offset: i64,
    /// Any bytes: another program may have written them.
    pub(crate) metadata: Vec<u8>,
}
