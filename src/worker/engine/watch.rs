//! Whether something is stuck.

use std::time::{Duration, Instant};

/// How long a partition with lag may make no progress.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How often somebody looks.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// The progress of a partition.
pub struct Progress {
    last: Instant,
    end_offset: Option<i64>,
    is_stuck: bool,
}

/// What makes a partition wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// For a known time or cause: a retry, an attempt, a breaker, the rate.
    ForACause,
    /// For nothing that would explain it.
    ForNothing,
}

impl Progress {
    /// Begins with the assignment.
    pub fn new(now: Instant) -> Self {
        Self { last: now, end_offset: None, is_stuck: false }
    }

    /// Something happened to a record of the partition.
    pub fn moves(&mut self, now: Instant) {
        self.last = now;
        self.is_stuck = false;
    }

    /// The partition ends here.
    pub fn ends_at(&mut self, offset: i64) {
        self.end_offset = Some(offset);
    }

    /// Whether it was stuck at the last look.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Records that are not finished, if it is known.
    pub fn lag(&self, position: Option<i64>) -> Option<i64> {
        Some(self.end_offset?.saturating_sub(position?).max(0))
    }

    /// Looks, and returns whether the partition has just become stuck.
    pub fn look(&mut self, position: Option<i64>, waits: Waits, now: Instant) -> bool {
        let has_lag = self.lag(position).is_some_and(|lag| lag > 0);
        if !has_lag || waits == Waits::ForACause {
            self.moves(now);
            return false;
        }
        let was_stuck = self.is_stuck;
        self.is_stuck = now.saturating_duration_since(self.last) >= LONGEST_PAUSE;
        self.is_stuck && !was_stuck
    }
}
