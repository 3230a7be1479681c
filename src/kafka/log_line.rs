//! What the native half has to say in the application's log. Python writes it, on an event loop.

use std::time::{Duration, Instant};

/// While a cluster is broken, its line is repeated this often.
const REPEAT: Duration = Duration::from_secs(30);

/// Severity, as Python's `logging` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// librdkafka's own log.
    Debug,
    /// Life cycle.
    Info,
    /// Works, but not as it should.
    Warning,
    /// Does not work.
    Error,
}

/// A line for the log.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Severity.
    pub level: Level,
    /// Stable name of the event.
    pub event: &'static str,
    /// The line.
    pub message: String,
}

/// A cluster out of reach, from the first sign to the recovery: one line, one every 30 s with a count, a last one.
#[derive(Default)]
pub struct Outage {
    began: Option<Instant>,
    told: Option<Instant>,
    probes: u64,
}

impl Outage {
    /// The cluster did not answer; a notice when it is time for one.
    pub fn goes_on(&mut self, cause: &str) -> Option<Notice> {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        self.probes += 1;
        if self.told.is_some_and(|told| now - told < REPEAT) {
            return None;
        }
        let message = if self.told.replace(now).is_none() {
            format!("Kafka is out of reach: {cause}")
        } else {
            let (probes, seconds) = (self.probes, (now - began).as_secs());
            format!("Kafka is still out of reach after {seconds} s and {probes} probes: {cause}")
        };
        Some(Notice { level: Level::Error, event: "kafka_unreachable", message })
    }

    /// The cluster answers; a notice if it did not before.
    pub fn is_over(&mut self) -> Option<Notice> {
        let began = std::mem::take(self).began?;
        let message =
            format!("Kafka has recovered: it is reachable again after {:.1} s", began.elapsed().as_secs_f64());
        Some(Notice { level: Level::Info, event: "kafka_recovered", message })
    }
}
