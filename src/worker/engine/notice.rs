//! What the engine reports to logs and metrics. Nothing here is personal data.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Stage, Target};
use super::identity::PartitionId;
use super::reason::Reason;
use super::verdict::Verdict;
use crate::smtp::Reply;

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

/// Why something is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StuckCause {
    /// A partition has lag and made no progress for a minute.
    NoProgress,
    /// A record at work has exceeded its deadlines.
    Overdue,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An attempt ended with this verdict; for metrics.
    Attempted {
        /// Which record.
        place: Place,
        /// The verdict; None for a handler that composed a mail or dropped the record.
        verdict: Option<Verdict>,
        /// Where it failed.
        stage: Option<Stage>,
        /// The server's reply.
        reply: Option<Reply>,
    },
    /// `delivered`: the mail is out.
    Delivered {
        /// Which record.
        place: Place,
        /// From the record's timestamp until now.
        age: Duration,
    },
    /// The handler wanted no mail; for metrics.
    Dropped(Place),
    /// An event with the same id was delivered before; for metrics.
    Duplicate(Place),
    /// `retry`: the record waits.
    Retry {
        /// Which record.
        place: Place,
        /// Attempts so far.
        attempts: u32,
        /// Until the next one.
        delay: Duration,
        /// Where it failed.
        stage: Stage,
        /// The server's reply.
        reply: Option<Reply>,
    },
    /// `handler_failed`: a handler raised something unexpected, or took too long.
    HandlerFailed(Place),
    /// `dead_lettered`: Kafka acknowledged the dead letter.
    DeadLettered {
        /// Which record.
        place: Place,
        /// Why it was given up.
        reason: Reason,
        /// Attempts in all.
        attempts: u32,
        /// Where it failed.
        stage: Option<Stage>,
        /// The server's reply.
        reply: Option<Reply>,
    },
    /// A dead letter was not stored; it is produced again.
    DeadLetterFailed(Place),
    /// `smtp_unavailable`: a breaker opened. The target may be a handler as well.
    Unavailable {
        /// Whose breaker.
        target: Target,
        /// Where the last failure was.
        stage: Option<Stage>,
        /// The server's reply.
        reply: Option<Reply>,
    },
    /// `smtp_recovered`: a delivery closed the breaker.
    Recovered {
        /// Whose breaker.
        target: Target,
        /// How long it was open.
        after: Duration,
    },
    /// `refusals_high`, at ERROR: most verdicts are permanent, so nothing is buried; or burying resumes.
    RefusalsHigh {
        /// Whose breaker.
        target: Target,
        /// Whether it begins or ends.
        is_on: bool,
    },
    /// `commit_failed`: tried again.
    CommitFailed,
    /// `stuck`.
    Stuck {
        /// Which partition.
        partition: PartitionId,
        /// Why.
        cause: StuckCause,
    },
    /// `partitions_assigned`.
    PartitionsAssigned(Vec<PartitionId>),
    /// `partitions_released`.
    PartitionsReleased(Vec<PartitionId>),
    /// `partitions_lost`.
    PartitionsLost(Vec<PartitionId>),
    /// The done set could not be read back in time; the worker continues without it.
    DoneSetUnread(PartitionId),
    /// `drain_incomplete`: so many records were cut off.
    DrainIncomplete(u64),
}
