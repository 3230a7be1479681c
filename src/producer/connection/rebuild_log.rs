//! The log lines about clients that take the place of dead ones: one at once, then one every 30 s with a count.

use std::time::Instant;

use crate::kafka::log_line::{Level, LogEvent, LogLine};
use crate::kafka::outage::REPEAT;

#[derive(Default)]
pub(super) struct RebuildLog {
    logged: Option<Instant>,
    unlogged: u32,
}

impl RebuildLog {
    /// Returns the line, if one is due.
    pub(super) fn line(&mut self, event: LogEvent, message: String, now: Instant) -> Option<LogLine> {
        if self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < REPEAT) {
            self.unlogged += 1;
            return None;
        }
        self.logged = Some(now);
        let more = match std::mem::take(&mut self.unlogged) {
            0 => String::new(),
            count => format!(" ({count} more since the last such line)"),
        };
        Some(LogLine::new(Level::Error, event, message + &more))
    }
}
