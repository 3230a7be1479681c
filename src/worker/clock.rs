//! The time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::engine::input::Now;

pub(super) fn now() -> Now {
    Now { instant: Instant::now(), unix_ms: unix_ms() }
}

pub(super) fn unix_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
