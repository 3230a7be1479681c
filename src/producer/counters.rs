//! The counters of one producer, which the hot path pays nothing noticeable for.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of events since the producer was opened.
#[derive(Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    // Two counters for one number, because one thread each writes them most of the time.
    bytes_taken: AtomicU64,
    bytes_released: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Events accepted from their callers.
    pub(super) accepted: u64,
    /// Events acknowledged.
    pub(super) delivered: u64,
    /// Events that were accepted and then failed.
    pub(super) failed: u64,
}

impl Counters {
    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds events that were acknowledged, and events that failed.
    pub(super) fn settle(&self, delivered: u64, failed: u64) {
        self.delivered.fetch_add(delivered, Ordering::Release);
        self.failed.fetch_add(failed, Ordering::Release);
    }

    /// Adds bytes that were handed to librdkafka.
    pub(super) fn take(&self, bytes: usize) {
        self.bytes_taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds bytes that librdkafka has released.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes_released.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of the keys and values that librdkafka holds.
    pub(super) fn bytes(&self) -> u64 {
        let released = self.bytes_released.load(Ordering::Relaxed);
        self.bytes_taken.load(Ordering::Relaxed).saturating_sub(released)
    }

    pub(super) fn counts(&self) -> Counts {
        // `accepted` is read last, so that it is never smaller than what is settled.
        let (delivered, failed) = (self.delivered.load(Ordering::Acquire), self.failed.load(Ordering::Acquire));
        Counts { delivered, failed, accepted: self.accepted.load(Ordering::Acquire) }
    }
}

impl Counts {
    /// Events accepted that are neither acknowledged nor failed.
    pub(super) fn outstanding(&self) -> u64 {
        self.accepted.saturating_sub(self.delivered + self.failed)
    }
}
