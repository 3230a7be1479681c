//! What the engine reports to logs and metrics. Nothing here is personal data.

use std::time::Duration;

use super::attempt::{Failure, Stage, Target};
use super::identity::{PartitionId, Place};
use super::reason::Reason;
use super::verdict::Verdict;
use crate::smtp::Reply;

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
        /// How the last one failed.
        failure: Failure,
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
        /// How the last one failed, if there was one.
        failure: Option<Failure>,
    },
    /// A dead letter was not stored; it is produced again.
    DeadLetterFailed {
        /// Which record.
        place: Place,
        /// Kafka's name of the error.
        error: &'static str,
    },
    /// `smtp_unavailable`: a breaker opened. The target may be a handler as well.
    Unavailable {
        /// Whose breaker.
        target: Target,
        /// The last failure.
        failure: Option<Failure>,
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
    /// `commit_failed`, with Kafka's name of the error: tried again.
    CommitFailed(&'static str),
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
