//! What the handle asks of the supervisor.

use std::time::{Duration, Instant};

use super::counters::Counts;
use super::outcome::StopReport;
use crate::handover::Ticket;

pub(super) enum Command {
    /// Answer when the first connection is made, or has failed.
    Start(Ticket),
    /// Answer how the cluster is, before the given time.
    Health(Ticket, Instant),
    /// Flush, close, and report.
    Stop(Stop),
}

/// Gets the report when everything is closed.
pub(super) type Reporter = Box<dyn FnOnce(StopReport) + Send>;

/// How to stop.
pub(super) struct Stop {
    /// Time to flush.
    pub(super) timeout: Duration,
    /// The counters when the stop was asked for: events that were outstanding then are in the report.
    pub(super) before: Counts,
    pub(super) asked: Instant,
    pub(super) reporter: Reporter,
}

impl Stop {
    /// Reports, once everything is released; `after` are the counters at the end.
    pub(super) fn finish(self, after: Counts) {
        let delivered = after.delivered - self.before.delivered;
        let failed = after.accepted.saturating_sub(after.delivered).saturating_sub(self.before.failed);
        (self.reporter)(StopReport { delivered, failed, elapsed: self.asked.elapsed() });
    }
}
