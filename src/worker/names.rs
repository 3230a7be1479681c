//! The names of partitions on both sides: the engine's, and those of librdkafka.

use std::sync::Arc;

use super::engine::identity::PartitionId;
use super::engine::input::Committed;
use crate::kafka::librdkafka::{self as native, Code};

pub(super) fn committed(
    answer: &Result<Vec<native::Position>, Code>,
    partition: &native::TopicPartition,
) -> Option<Committed> {
    let positions = answer.as_ref().ok()?;
    let stored = positions.iter().find(|position| position.partition == *partition);
    Some(stored.map_or_else(Committed::default, |position| Committed {
        offset: Some(position.offset),
        metadata: position.metadata.clone(),
    }))
}

pub(super) fn id_of(partition: &native::TopicPartition) -> PartitionId {
    PartitionId::new(Arc::clone(&partition.topic), partition.partition)
}

pub(super) fn native_of_one(id: &PartitionId) -> native::TopicPartition {
    native::TopicPartition { topic: id.topic().into(), partition: id.number() }
}

pub(super) fn native_of(partitions: &[PartitionId]) -> Vec<native::TopicPartition> {
    partitions.iter().map(native_of_one).collect()
}
