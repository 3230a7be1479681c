//! What the worker reads in librdkafka's statistics: how far partitions reach, and whether the group has a coordinator.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::engine::identity::PartitionId;

/// The part of librdkafka's statistics that is used (its STATISTICS.md).
#[derive(Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
    cgrp: Option<GroupStatistics>,
}

#[derive(Deserialize)]
struct GroupStatistics {
    state: String,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    /// The offset after the last record.
    hi_offset: i64,
}

impl Statistics {
    /// None for a text that is no statistics.
    pub(super) fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Whether the group's coordinator is known and answers.
    pub(super) fn is_coordinated(&self) -> bool {
        self.cgrp.as_ref().is_some_and(|group| group.state == "up")
    }

    /// The offset after the last record of each partition, where it is known.
    pub(super) fn ends(&self) -> impl Iterator<Item = (PartitionId, i64)> + '_ {
        self.topics.iter().flat_map(|(topic, of_topic)| {
            let topic: Arc<str> = topic.as_str().into();
            of_topic.partitions.iter().filter_map(move |(number, partition)| {
                let id = PartitionId::new(Arc::clone(&topic), number.parse().ok()?);
                (partition.hi_offset >= 0).then_some((id, partition.hi_offset))
            })
        })
    }
}
