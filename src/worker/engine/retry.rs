//! How long a record waits before it is tried again.

use std::time::Duration;

/// Random numbers, the same for the same seed: splitmix64, whose quality is enough to spread retries.
pub struct Random(u64);

impl Random {
    /// Numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A time from zero to `longest`, each as likely.
    fn up_to(&mut self, longest: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let nanos = longest.as_nanos().saturating_mul(u128::from(bits)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The delay after the n-th failure: random between zero and the least of `cap` and `base` · 2ⁿ⁻¹.
pub fn delay(failures: u32, base: Duration, cap: Duration, random: &mut Random) -> Duration {
    random.up_to(doubled(base, failures.saturating_sub(1)).min(cap))
}

/// `first`, doubled `times` times.
pub fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(31))
}

#[cfg(test)]
mod tests {
    use super::{delay, Random};
    use std::time::Duration;

    #[test]
    fn the_delay_is_random_below_a_bound_that_doubles_up_to_the_cap() {
        let mut random = Random::new(7);
        let mut longest = |failures| {
            let delays =
                (0..2000).map(|_| delay(failures, Duration::from_secs(1), Duration::from_mins(5), &mut random));
            delays.max().unwrap_or_default().as_secs_f64()
        };
        for (failures, bound) in [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (1000, 300.0)] {
            let longest = longest(failures);
            assert!(longest <= bound && longest > bound * 0.98, "{failures}: {longest}");
        }
    }
}
