//! How many mails may be sent in a time.

use std::time::{Duration, Instant};

/// A rate such as `14/s`, `100/m` or `2000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time from one mail to the next.
    interval: Duration,
    burst: u32,
}

/// Text that is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARate;

impl Rate {
    /// Reads `14/s`, `100/m` or `2000/h`.
    ///
    /// # Errors
    /// If `text` is anything else, or the number is zero.
    pub fn parse(text: &str) -> Result<Self, NotARate> {
        let (count, unit) = text.trim().split_once('/').ok_or(NotARate)?;
        let count: u32 = count.trim().parse().map_err(|_| NotARate)?;
        let period = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(NotARate),
        };
        let nanos = u64::try_from(period.as_nanos()).map_err(|_| NotARate)?;
        let interval = Duration::from_nanos(nanos.checked_div(u64::from(count)).ok_or(NotARate)? + 1);
        // What a tenth of a second allows, so that a worker that wakes up late catches up.
        let burst = u32::try_from(Duration::from_millis(100).as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
        Ok(Self { interval, burst: burst.max(1) })
    }

    /// How many mails may be sent at once after a pause.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time from one mail to the next.
    pub fn interval(self) -> Duration {
        self.interval
    }
}

/// A token bucket: in any time t, at most t / interval + burst tokens are taken.
pub struct TokenBucket {
    rate: Rate,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// When the next token can be taken.
    pub fn available_at(&self, now: Instant) -> Instant {
        let tolerance = self.rate.interval * (self.rate.burst - 1);
        self.full_at.checked_sub(tolerance).map_or(now, |at| at.max(now))
    }

    /// Takes a token, which must be available.
    pub fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.rate.interval;
    }
}
