//! Whether events are acknowledged while some are outstanding: a broker that answers probes may still store nothing.

use std::time::{Duration, Instant};

/// The last moment at which nothing was outstanding, as far as the looks at the counters show.
pub(super) struct Progress {
    idle_at: Instant,
}

impl Progress {
    /// Begins at a moment when nothing is outstanding.
    pub(super) fn new(now: Instant) -> Self {
        Self { idle_at: now }
    }

    /// Looks at the counters; returns for how long events have been outstanding with none acknowledged.
    pub(super) fn stall(&mut self, outstanding: u64, acknowledged_at: Option<Instant>, now: Instant) -> Duration {
        if outstanding == 0 {
            self.idle_at = now;
        }
        let since = acknowledged_at.map_or(self.idle_at, |at| at.max(self.idle_at));
        now.saturating_duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_begins_when_events_are_outstanding_and_ends_with_an_acknowledgement() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut progress = Progress::new(began);
        let mut stall = |outstanding, acknowledged_at: Option<u64>, seconds| {
            progress.stall(outstanding, acknowledged_at.map(after), after(seconds)).as_secs()
        };
        assert_eq!(stall(0, None, 10), 0);
        assert_eq!(stall(5, None, 13), 3);
        assert_eq!(stall(1, None, 16), 6, "a failure is no progress");
        assert_eq!(stall(1, Some(17), 19), 2, "from the acknowledgement on, not from the look");
        assert_eq!(stall(2, Some(17), 22), 5);
        assert_eq!(stall(0, Some(17), 25), 0);
        assert_eq!(stall(1, Some(17), 28), 3);
    }
}
