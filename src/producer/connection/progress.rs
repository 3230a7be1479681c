//! Whether events are acknowledged while some are outstanding: a broker that answers probes may still store nothing.

use std::time::{Duration, Instant};

/// The last look at the counters that showed progress, or nothing outstanding.
pub(super) struct Progress {
    delivered: u64,
    seen: Instant,
}

impl Progress {
    /// Begins at a moment when nothing is outstanding.
    pub(super) fn new(now: Instant) -> Self {
        Self { delivered: 0, seen: now }
    }

    /// For how long events have been outstanding with none acknowledged, as far as the looks at the counters show.
    pub(super) fn stall(&mut self, delivered: u64, outstanding: u64, now: Instant) -> Duration {
        if delivered != self.delivered || outstanding == 0 {
            *self = Self { delivered, seen: now };
        }
        now.saturating_duration_since(self.seen)
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
        let mut stall = |accepted: u64, delivered: u64, failed: u64, seconds| {
            progress.stall(delivered, accepted - delivered - failed, after(seconds)).as_secs()
        };
        assert_eq!(stall(0, 0, 0, 10), 0);
        assert_eq!(stall(5, 0, 0, 13), 3);
        assert_eq!(stall(5, 0, 4, 16), 6, "a failure is no progress");
        assert_eq!(stall(5, 1, 4, 19), 0);
        assert_eq!(stall(6, 1, 4, 22), 3);
        assert_eq!(stall(7, 2, 4, 25), 0, "others may be under way");
    }
}
