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
    /// When the bucket will be full again; None before the first token is taken.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: None }
    }

    /// When the next token can be taken.
    pub fn available_at(&self, now: Instant) -> Instant {
        let tolerance = self.rate.interval * (self.rate.burst - 1);
        self.full_at.and_then(|at| at.checked_sub(tolerance)).map_or(now, |at| at.max(now))
    }

    /// Takes a token, which must be available.
    pub fn take(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + self.rate.interval);
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::{Rate, TokenBucket};
    use std::time::{Duration, Instant};

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for (text, interval_ms, burst) in
            [("14/s", 71, 1), ("600/s", 1, 59), ("60/m", 1000, 1), ("1/h", 3_600_000, 1), (" 5 / s ", 200, 1)]
        {
            let rate = Rate::parse(text).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((rate.interval().as_millis(), rate.burst()), (interval_ms, burst), "{text}");
        }
        for text in ["", "14", "/s", "0/s", "-1/s", "1.5/s", "14/d", "14/s/s"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn in_any_time_no_more_tokens_are_taken_than_the_rate_and_a_burst() {
        for text in ["14/s", "1000/s", "100/m"] {
            let rate = Rate::parse(text).unwrap_or_else(|_| panic!("{text}"));
            let (began, mut bucket, mut taken) = (Instant::now(), TokenBucket::new(rate), Vec::new());
            let mut now = began;
            for pause_ms in [0, 0, 5, 0, 3000, 0, 1, 2, 700, 0].iter().cycle().take(3000) {
                now += Duration::from_millis(*pause_ms);
                if bucket.available_at(now) <= now {
                    bucket.take(now);
                    taken.push(now);
                }
            }
            assert!(taken.len() > 100, "{text}");
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first).take(200) {
                    let allowed = (*to - *from).div_duration_f64(rate.interval()) + f64::from(rate.burst());
                    assert!(f64::from(u32::try_from(last - first + 1).unwrap_or(u32::MAX)) <= allowed + 1e-6, "{text}");
                }
            }
        }
    }
}
