//! What the engine wants done.

use std::sync::Arc;

use super::attempt::Work;
use super::dead_letter::DeadLetter;
use super::identity::{Generation, PartitionId, RecordId};
use super::notice::Notice;
use super::record::Record;

/// Names a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitId(pub u64);

/// What is committed for one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// The partition.
    pub partition: PartitionId,
    /// Its assignment.
    pub generation: Generation,
    /// The offset of the first unfinished record.
    pub offset: i64,
    /// The done set, at most 4,096 bytes.
    pub metadata: String,
}

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DrainReport {
    /// Records that finished during the drain.
    pub finished: u64,
    /// Records at work, and dead letters being produced, that were cut off.
    pub abandoned: u64,
}

/// What the shell has to do, in the order given.
pub enum Action {
    /// Read the committed offset and its metadata, and report with
    /// [`Input::CommittedRead`](super::Input::CommittedRead).
    ReadCommitted(Vec<(PartitionId, Generation)>),
    /// Begin an attempt, and report with [`Input::AttemptEnded`](super::Input::AttemptEnded).
    Start {
        /// Which record.
        id: RecordId,
        /// The record.
        record: Arc<Record>,
        /// 1 for the first attempt; server-wide failures are not counted.
        attempt: u32,
        /// What to do.
        work: Work,
    },
    /// Drop the attempt at this record; its result is of no interest any more.
    CancelAttempt(RecordId),
    /// Produce a dead letter, and report with [`Input::DeadLetterEnded`](super::Input::DeadLetterEnded).
    Bury(RecordId, DeadLetter),
    /// Commit asynchronously, and report with [`Input::CommitEnded`](super::Input::CommitEnded).
    Commit(CommitId, Vec<Position>),
    /// Stop fetching these partitions.
    Pause(Vec<PartitionId>),
    /// Fetch them again.
    Resume(Vec<PartitionId>),
    /// Give these partitions back; their generations have ended.
    Unassign(Vec<(PartitionId, Generation)>),
    /// Count this, and log what has a place in the log.
    Log(Notice),
    /// Nothing is left after [`Input::Drain`](super::Input::Drain) or [`Input::Abort`](super::Input::Abort).
    Drained(DrainReport),
}
