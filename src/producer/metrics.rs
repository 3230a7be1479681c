//! Counters of the process for monitoring. They outlive producers, so that they never go down.
//!
//! Those of the publish path are written by the polling thread alone, with relaxed atomics; the event loop's thread pays
//! nothing for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::kafka::failure::Class;
use crate::monitoring::histogram::{Histogram, Snapshot};

/// A look at a producer, for monitoring.
pub struct Gauges {
    /// Events that wait for those in flight, or for space in the queue.
    pub waiting: u64,
    /// Events with librdkafka: in its queue, or sent and not acknowledged.
    pub in_flight: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Mean round trip of the last seconds, by the number of the broker.
    pub round_trips: Vec<(i32, Duration)>,
}

/// The counters of this process.
pub static METRICS: Metrics = Metrics::new();

/// Counters, all of them from the start of the process.
pub struct Metrics {
    /// Microseconds from librdkafka's queue to the acknowledgement, for each event stored: 128 µs to 33 s.
    pub latency: Histogram<7, 1, 38>,
    /// Events that were acknowledged together, in one batch of a partition: 1 to 16,384.
    pub batches: Histogram<0, 0, 16>,
    /// Events that were not valid.
    pub invalid: Counter,
    /// Events that librdkafka sent again.
    pub resent: Counter,
    /// Attempts to connect to a broker.
    pub connects: Counter,
    /// Connections that ended.
    pub disconnects: Counter,
    /// Clients of librdkafka that replaced one in its fatal state.
    pub rebuilds: Counter,
    failed: [Counter; Class::ALL.len()],
}

impl Metrics {
    const fn new() -> Self {
        Self {
            latency: Histogram::empty(),
            batches: Histogram::empty(),
            invalid: Counter::new(),
            resent: Counter::new(),
            connects: Counter::new(),
            disconnects: Counter::new(),
            rebuilds: Counter::new(),
            failed: [const { Counter::new() }; Class::ALL.len()],
        }
    }

    /// A caller is told that an event failed.
    pub fn fail(&self, class: Class) {
        if let Some(counter) = self.failed.get(class as usize) {
            counter.add(1);
        }
    }

    /// How many events failed, by class.
    pub fn failed(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        Class::ALL.into_iter().zip(self.failed.iter().map(Counter::get))
    }

    /// Both histograms now: of the latency, and of the batches.
    pub fn histograms(&self) -> (Snapshot, Snapshot) {
        (self.latency.snapshot(), self.batches.snapshot())
    }
}

/// A number that only grows.
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Makes it larger.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_class() {
        let metrics = Metrics::new();
        for class in Class::ALL {
            metrics.fail(class);
        }
        metrics.fail(Class::Timeout);
        for (class, count) in metrics.failed() {
            assert_eq!(count, if class == Class::Timeout { 2 } else { 1 }, "{class:?}");
        }
    }
}
