//! What happens to the engine.

use std::time::Instant;

use super::action::CommitId;
use super::attempt::AttemptResult;
use super::identity::{Generation, PartitionId, RecordId};
use super::record::Record;

/// The time of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For everything that lasts.
    pub instant: Instant,
    /// Milliseconds since the epoch, for the age of records.
    pub unix_ms: i64,
}

/// What the group has stored for a partition.
#[derive(Clone, Default)]
pub struct Committed {
    /// The committed offset, if there is one.
    pub offset: Option<i64>,
    /// The commit's metadata, any bytes.
    pub metadata: Vec<u8>,
}

/// What happened. Results for records, commits and generations that are gone are ignored.
pub enum Input {
    /// Partitions were assigned, each beginning a generation.
    Assigned(Vec<(PartitionId, Generation)>),
    /// The answer to [`Action::ReadCommitted`](super::Action::ReadCommitted); None if it failed.
    CommittedRead(Generation, Option<Committed>),
    /// Records were fetched, in offset order within each partition. The engine queues them.
    Fetched(Vec<Record>),
    /// Where a partition ends: the offset after its last record. Markers of transactions after it must not count, or the
    /// partition would have lag for ever.
    EndOffset(Generation, i64),
    /// The group wants these partitions back. [`Action::Unassign`](super::Action::Unassign) follows when they are ready.
    Revoked(Vec<Generation>),
    /// The group gave these partitions to others already.
    Lost(Vec<Generation>),
    /// The attempt that [`Action::Start`](super::Action::Start) began has ended.
    AttemptEnded(RecordId, AttemptResult),
    /// Whether Kafka acknowledged the dead letter of [`Action::Bury`](super::Action::Bury), or Kafka's name of the
    /// error.
    DeadLetterEnded(RecordId, Result<(), &'static str>),
    /// Whether Kafka acknowledged the commit of [`Action::Commit`](super::Action::Commit), or Kafka's name of the
    /// error.
    CommitEnded(CommitId, Result<(), &'static str>),
    /// SIGTERM, or `stop()`: let the records at work finish, commit and unassign everything.
    Drain,
    /// A second signal, or the end of the caller's patience: give everything up at once.
    Abort,
    /// The consumer reported a fatal error: all generations end, and nothing can be committed.
    ClientDied,
    /// The time that [`Engine::next_wake`](super::Engine::next_wake) named has come.
    Tick,
}
