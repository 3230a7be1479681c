//! Counters that the hot path pays nothing noticeable for.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of events since the producer was opened.
#[derive(Default)]
pub struct Statistics {
    accepted: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    // Two counters for one number: each is written by one thread most of the time.
    bytes_taken: AtomicU64,
    bytes_released: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events taken over from their callers.
    pub accepted: u64,
    /// Events acknowledged.
    pub delivered: u64,
    /// Events that were taken over and then failed.
    pub failed: u64,
}

impl Statistics {
    /// An event was taken over.
    pub fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Events were acknowledged or failed.
    pub fn settle(&self, delivered: u64, failed: u64) {
        self.delivered.fetch_add(delivered, Ordering::Release);
        self.failed.fetch_add(failed, Ordering::Release);
    }

    /// So many bytes go to librdkafka.
    pub fn take(&self, bytes: usize) {
        self.bytes_taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes are with librdkafka no more.
    pub fn release(&self, bytes: usize) {
        self.bytes_released.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of keys and values that librdkafka has.
    pub fn bytes(&self) -> u64 {
        let released = self.bytes_released.load(Ordering::Relaxed);
        self.bytes_taken.load(Ordering::Relaxed).saturating_sub(released)
    }

    /// The counters now.
    pub fn counts(&self) -> Counts {
        // What is settled is read first, so that it never exceeds what was accepted.
        let (delivered, failed) = (self.delivered.load(Ordering::Acquire), self.failed.load(Ordering::Acquire));
        Counts { delivered, failed, accepted: self.accepted.load(Ordering::Acquire) }
    }
}

impl Counts {
    /// Events taken over whose fate is still open.
    pub fn outstanding(&self) -> u64 {
        self.accepted.saturating_sub(self.delivered + self.failed)
    }
}
