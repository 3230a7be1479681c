//! Counters of the process for monitoring. They outlive producers, so that they never go down.
//!
//! The poller's thread alone writes those of the publish path, with relaxed atomics; the event loop's thread pays
//! nothing for them.

use crate::kafka::failure::Class;
use crate::monitoring::{Counter, Histogram, HistogramSnapshot};

/// All of them, from the start of the process.
pub(crate) static METRICS: Metrics = Metrics::new();

/// Counters of the process.
pub(crate) struct Metrics {
    /// Microseconds from librdkafka's queue to the acknowledgement, for each event stored: 128 µs to 33 s.
    pub(crate) latency: Histogram<7, 1, 38>,
    /// Events that were acknowledged together, in one batch of a partition: 1 to 16,384.
    pub(crate) batches: Histogram<0, 0, 16>,
    /// Events that were not valid.
    pub(crate) invalid: Counter,
    /// Events that librdkafka sent again.
    pub(crate) resent: Counter,
    /// Attempts to connect to a broker.
    pub(crate) connects: Counter,
    /// Connections that ended.
    pub(crate) disconnects: Counter,
    /// Clients of librdkafka that were built in place of one that failed.
    pub(crate) rebuilds: Counter,
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

    /// Begins to count from nothing.
    pub(crate) fn reset(&self) {
        // All fields by name, so that none is forgotten.
        let Self { latency, batches, invalid, resent, connects, disconnects, rebuilds, failed } = self;
        latency.reset();
        batches.reset();
        [invalid, resent, connects, disconnects, rebuilds].into_iter().chain(failed).for_each(Counter::reset);
    }

    /// A caller gets the failure of an event.
    pub(crate) fn fail(&self, class: Class) {
        if let Some(counter) = self.failed.get(class as usize) {
            counter.add(1);
        }
    }

    /// How many events failed, by class.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        Class::ALL.into_iter().zip(self.failed.iter().map(Counter::get))
    }

    /// Both histograms now: of the latency, and of the batches.
    pub(crate) fn histograms(&self) -> (HistogramSnapshot, HistogramSnapshot) {
        (self.latency.snapshot(), self.batches.snapshot())
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

    #[test]
    fn a_reset_forgets_everything() {
        let metrics = Metrics::new();
        metrics.latency.record(5);
        metrics.batches.record(5);
        metrics.resent.add(1);
        metrics.fail(Class::Timeout);
        metrics.reset();
        assert_eq!(metrics.histograms(), Metrics::new().histograms());
        assert_eq!(metrics.resent.get(), 0);
        assert!(metrics.failed().all(|(_, count)| count == 0));
    }
}
