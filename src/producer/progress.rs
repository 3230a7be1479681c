//! Whether events are acknowledged while some are under way: a broker that answers questions may still take none.

use std::time::{Duration, Instant};

use crate::producer::counters::Counts;

/// The last look at the counters that showed progress, or nothing under way.
pub struct Progress {
    delivered: u64,
    seen: Instant,
}

impl Progress {
    /// At a moment when nothing is under way.
    pub fn new(now: Instant) -> Self {
        Self { delivered: 0, seen: now }
    }

    /// For how long events have been under way with none acknowledged, as far as the looks at the counters tell.
    pub fn stall(&mut self, counts: Counts, now: Instant) -> Duration {
        if counts.delivered != self.delivered || counts.outstanding() == 0 {
            *self = Self { delivered: counts.delivered, seen: now };
        }
        now.saturating_duration_since(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_begins_when_events_are_under_way_and_ends_with_an_acknowledgement() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut progress = Progress::new(began);
        let mut stall = |accepted, delivered, failed, seconds| {
            progress.stall(Counts { accepted, delivered, failed }, after(seconds)).as_secs()
        };
        assert_eq!(stall(0, 0, 0, 10), 0);
        assert_eq!(stall(5, 0, 0, 13), 3);
        assert_eq!(stall(5, 0, 4, 16), 6, "a failure is no progress");
        assert_eq!(stall(5, 1, 4, 19), 0);
        assert_eq!(stall(6, 1, 4, 22), 3);
        assert_eq!(stall(7, 2, 4, 25), 0, "others may be under way");
    }
}
