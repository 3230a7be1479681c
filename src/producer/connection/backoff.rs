//! How long to pause before the next attempt.

use std::time::Duration;

/// Longest pause between two connection attempts, and between two clients built in place of dead ones.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// `first`, doubled `times` times, at most `LONGEST_BACKOFF`.
pub(super) fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(LONGEST_BACKOFF)
}
