//! What a scrape and a health check read, on any thread.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::engine::engine::Gauges;
use super::engine::notice::Notice;
use super::engine::verdict::Verdict;
use crate::monitoring::{Histogram, HistogramSnapshot};

/// An engine that has not looked around for so long is stuck.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// Rows of the counter of records, by outcome and event type. A type is whatever a publisher wrote into a header: one for
/// each event must fill neither the memory nor the metrics.
const MOST_ROWS: usize = 400;
/// The types for which there is no row.
const OTHER_TYPES: &str = "other";

/// From a record's timestamp to the 2xx reply, in milliseconds: half a millisecond to 12 days.
type DeliveryTimes = Histogram<3, 1, 56>;

/// Counters and gauges of one worker.
pub(super) struct Status {
    records: Mutex<BTreeMap<(&'static str, String), u64>>,
    attempts: Mutex<BTreeMap<&'static str, u64>>,
    delivery: DeliveryTimes,
    present: Mutex<Present>,
}

struct Present {
    gauges: Gauges,
    connections: usize,
    replies: Vec<(&'static str, u16, u64)>,
    is_connected: bool,
    assigned: usize,
    /// When the engine looked around last; None before it begins.
    seen: Option<Instant>,
}

/// A worker at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Ended records, by outcome and event type.
    pub(crate) records: Vec<(&'static str, String, u64)>,
    /// Attempts, by verdict.
    pub(crate) attempts: Vec<(&'static str, u64)>,
    /// From the record's timestamp to the 2xx reply, in milliseconds.
    pub(crate) delivery: HistogramSnapshot,
    pub(crate) gauges: Gauges,
    /// Open connections to the mail server.
    pub(crate) connections: usize,
    /// Replies of the mail server, by stage and code.
    pub(crate) replies: Vec<(&'static str, u16, u64)>,
    /// Whether the coordinator of the group answers.
    pub(crate) is_connected: bool,
    /// Partitions of this worker.
    pub(crate) assigned: usize,
    /// Whether something is stuck, the engine itself included.
    pub(crate) is_stuck: bool,
}

impl Status {
    pub(super) fn new() -> Self {
        let present = Present {
            gauges: Gauges::default(),
            connections: 0,
            replies: Vec::new(),
            is_connected: false,
            assigned: 0,
            seen: None,
        };
        Self {
            records: Mutex::default(),
            attempts: Mutex::default(),
            delivery: DeliveryTimes::empty(),
            present: Mutex::new(present),
        }
    }

    /// Counts what happened.
    pub(super) fn count(&self, notice: &Notice) {
        match notice {
            Notice::Attempted { verdict: Some(verdict), .. } => {
                *self.attempts.lock().entry(verdict_name(*verdict)).or_default() += 1;
            }
            Notice::Delivered { place, age } => {
                self.delivery.record(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
                self.count_record("delivered", &place.event_type);
            }
            Notice::Dropped(place) => self.count_record("dropped", &place.event_type),
            Notice::Duplicate(place) => self.count_record("duplicate", &place.event_type),
            Notice::DeadLettered { place, .. } => self.count_record("dead_lettered", &place.event_type),
            Notice::PartitionsAssigned(partitions) => self.present.lock().assigned += partitions.len(),
            Notice::PartitionsReleased(partitions) | Notice::PartitionsLost(partitions) => {
                let mut present = self.present.lock();
                present.assigned = present.assigned.saturating_sub(partitions.len());
            }
            _ => {}
        }
    }

    fn count_record(&self, outcome: &'static str, email_type: &str) {
        let mut records = self.records.lock();
        let mut row = (outcome, email_type.to_owned());
        if records.len() >= MOST_ROWS && !records.contains_key(&row) {
            row = (outcome, OTHER_TYPES.to_owned());
        }
        *records.entry(row).or_default() += 1;
    }

    /// The engine looked around.
    pub(super) fn update(&self, gauges: Gauges, connections: usize, replies: Vec<(&'static str, u16, u64)>) {
        let mut present = self.present.lock();
        (present.gauges, present.connections, present.replies) = (gauges, connections, replies);
        present.seen = Some(Instant::now());
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.present.lock().is_connected = is_connected;
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let records = self.records.lock().iter().map(|((outcome, of), count)| (*outcome, of.clone(), *count)).collect();
        let attempts = self.attempts.lock().iter().map(|(verdict, count)| (*verdict, *count)).collect();
        let present = self.present.lock();
        Snapshot {
            records,
            attempts,
            delivery: self.delivery.snapshot(),
            gauges: present.gauges.clone(),
            connections: present.connections,
            replies: present.replies.clone(),
            is_connected: present.is_connected,
            assigned: present.assigned,
            is_stuck: present.gauges.is_stuck || present.seen.is_some_and(|seen| seen.elapsed() > SILENCE_LIMIT),
        }
    }
}

pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Permanent => "permanent",
        Verdict::Transient => "transient",
        Verdict::Unknown => "unknown",
        Verdict::ServerWide => "server_wide",
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, MOST_ROWS};

    #[test]
    fn types_without_number_have_rows_of_a_number() {
        let status = Status::new();
        for number in 0..3000 {
            status.count_record("delivered", &format!("type {number}"));
        }
        status.count_record("delivered", "type 7");
        let records = status.snapshot().records;
        assert_eq!(records.len(), MOST_ROWS + 1);
        assert_eq!(records.iter().map(|(.., count)| count).sum::<u64>(), 3001);
        assert!(records.contains(&("delivered", "type 7".to_owned(), 2)));
    }
}
