//! Lines for the application's log, until an event loop writes them.
//!
//! Only a loop that runs can write, and nothing tells a native thread which loops do. So the loop that called `start()`
//! is told of a line, or the next one if that is gone; if the line still waits after a moment, all loops are told, and
//! the first that runs writes it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::kafka::log_line::LogLine;

/// How many lines may wait; further ones are dropped.
const MOST: usize = 10_000;
/// A loop that has not written a line by then is over, or blocked.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Lines(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: VecDeque<LogLine>,
    /// When a loop was told of them.
    told: Option<Instant>,
}

impl Lines {
    /// Adds a line; returns whether a loop has to be told, because none has been.
    pub(super) fn add(&self, line: LogLine) -> bool {
        let mut waiting = self.0.lock();
        if waiting.lines.len() < MOST {
            waiting.lines.push_back(line);
        }
        let nobody_is_told = waiting.told.is_none();
        waiting.told.get_or_insert_with(Instant::now);
        nobody_is_told
    }

    /// The next line to write.
    pub(crate) fn next(&self) -> Option<LogLine> {
        let mut waiting = self.0.lock();
        let line = waiting.lines.pop_front();
        if waiting.lines.is_empty() {
            waiting.told = None;
        }
        line
    }

    /// Whether lines are waiting.
    pub(super) fn are_waiting(&self) -> bool {
        !self.0.lock().lines.is_empty()
    }

    /// Whether the loop that was told has not written them; from now on it is another loop's turn.
    pub(super) fn are_overdue(&self) -> bool {
        let mut waiting = self.0.lock();
        let is_overdue = waiting.told.is_some_and(|told| told.elapsed() > PATIENCE);
        if is_overdue {
            waiting.told = Some(Instant::now());
        }
        is_overdue
    }
}
