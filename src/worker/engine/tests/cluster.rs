//! Partitions and assignments as the cluster and the consumer know them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::scene::header;
use crate::worker::engine::attempt::Failure;
use crate::worker::engine::done_set::DoneSet;
use crate::worker::engine::identity::{Generation, PartitionId, RecordId};
use crate::worker::engine::record::{Parts, Record};

/// A record in the scripted log.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) offset: i64,
    pub(super) key: u8,
    pub(super) event_id: u8,
    pub(super) has_handler: bool,
    pub(super) timestamp_ms: i64,
    pub(super) expires_ms: Option<i64>,
}

/// A partition as the cluster knows it.
#[derive(Default)]
pub(super) struct Log {
    pub(super) records: Vec<Stored>,
    pub(super) end: i64,
    pub(super) committed: Option<(i64, Vec<u8>)>,
    /// What is finished in truth: sent, dropped, or stored as a dead letter.
    pub(super) finished: BTreeSet<i64>,
}

/// An assignment as the consumer knows it.
pub(super) struct Assignment {
    pub(super) partition: usize,
    pub(super) fetch_from: i64,
    pub(super) is_revoked: bool,
    /// Whether the done set may be missing.
    pub(super) is_blind: bool,
    pub(super) last_commit: i64,
    /// Records that this generation finished or skipped.
    pub(super) known: BTreeSet<i64>,
    /// Records whose dead letter is being produced.
    pub(super) burying: BTreeSet<i64>,
    /// How the attempts at each record failed.
    pub(super) failures: HashMap<i64, Vec<Failure>>,
}

/// Whether a commit says that a record is finished.
pub(super) fn covers(committed: i64, metadata: &[u8], offset: i64, records: &[Stored]) -> bool {
    let mut set = DoneSet::restore(committed, metadata);
    let before = records.iter().map(|stored| stored.offset).filter(|found| (committed..offset).contains(found));
    for found in before {
        set.fetch(found);
    }
    offset < committed || !set.fetch(offset)
}

pub(super) fn name(partition: usize) -> PartitionId {
    PartitionId::new(Arc::from("mails"), i32::try_from(partition).unwrap())
}

pub(super) fn number(partition: &PartitionId) -> usize {
    usize::try_from(partition.number()).unwrap()
}

pub(super) fn record(stored: &Stored, partition: usize, generation: Generation) -> Record {
    let mut headers = vec![header("ce_id", &format!("id-{}", stored.event_id))];
    if stored.has_handler {
        headers.push(header("ce_type", "invoice"));
    }
    headers.extend(stored.expires_ms.map(|at| header("expires-at", &at.to_string())));
    Record::new(Parts {
        id: RecordId { generation, offset: stored.offset },
        partition: name(partition),
        timestamp_ms: stored.timestamp_ms,
        key: Some(vec![stored.key]),
        value: Some(Vec::new()),
        headers,
    })
}
