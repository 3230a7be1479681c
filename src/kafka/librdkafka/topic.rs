//! A topic that a client uses: its handle, what the cluster says of it, and how much of it may be queued at once.
//!
//! A broker compares a topic's `max.message.bytes` with a whole batch, and librdkafka fills its batches up to a limit of
//! the client (`batch.size`). So of a topic with a smaller limit no more is queued at once than one batch may hold.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

/// What may be queued of a topic before it was looked up: `batch.size` of Kafka's own client, which most topics take.
const FIRST_ALLOWANCE: usize = 16_384;
/// From this limit on librdkafka's own is smaller: its default of `batch.size`.
const NO_LIMIT: usize = 1_000_000;
/// What a batch holds besides its records (Kafka's format of record batches).
const BATCH_OVERHEAD: usize = 61;

/// A topic in use.
pub(super) struct Topic {
    handle: *mut sys::rd_kafka_topic_t,
    existence: AtomicU8,
    pub(super) allowance: Allowance,
}

// SAFETY: librdkafka's handles may be used from any thread (librdkafka INTRODUCTION.md, "Threads and callbacks").
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the pointer came from rd_kafka_topic_new and is given back once.
        unsafe { sys::rd_kafka_topic_destroy(self.handle) }
    }
}

/// Whether a topic exists, as far as the cluster was asked.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Existence {
    Unknown,
    Missing,
    Exists,
}

impl Topic {
    /// Opens the topic in librdkafka, which begins to ask for its metadata.
    ///
    /// # Errors
    /// librdkafka's code for a name that no topic can have.
    pub(super) fn open(client: *mut sys::rd_kafka_t, name: &str) -> Result<Self, Code> {
        let name = CString::new(name).map_err(|_| Code::InvalidTopic)?;
        // SAFETY: the client is alive, the name ends with NUL, and no topic configuration means the default one.
        let handle = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            // SAFETY: reads the thread's last error, set by the call above.
            return Err(unsafe { sys::rd_kafka_last_error() }.into());
        }
        let allowance = Allowance::new(FIRST_ALLOWANCE);
        Ok(Self { handle, existence: AtomicU8::new(Existence::Unknown as u8), allowance })
    }

    pub(super) fn handle(&self) -> *mut sys::rd_kafka_topic_t {
        self.handle
    }

    /// Whether the cluster said that there is no such topic.
    pub(super) fn is_missing(&self) -> bool {
        self.existence.load(Ordering::Acquire) == Existence::Missing as u8
    }

    /// Whether the cluster has to be asked.
    pub(super) fn is_unknown(&self) -> bool {
        self.existence.load(Ordering::Acquire) != Existence::Exists as u8
    }

    pub(super) fn set_existence(&self, existence: Existence) {
        self.existence.store(existence as u8, Ordering::Release);
    }
}

/// How much of a topic may be queued, and how much is.
pub(super) struct Allowance {
    /// In bytes; `usize::MAX` when nothing is counted.
    limit: AtomicUsize,
    queued: Mutex<Queued>,
}

#[derive(Default)]
struct Queued {
    bytes: usize,
    sizes: HashMap<usize, usize>,
}

impl Allowance {
    fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), queued: Mutex::default() }
    }

    /// Takes room for a record; a record that is alone always has room, and the broker decides about it.
    pub(super) fn take(&self, opaque: usize, size: impl FnOnce() -> usize) -> bool {
        if !self.is_limited() {
            return true;
        }
        let size = size();
        let mut queued = self.queued.lock();
        if queued.bytes > 0 && queued.bytes + size > self.limit.load(Ordering::Acquire) {
            return false;
        }
        queued.bytes += size;
        queued.sizes.insert(opaque, size);
        true
    }

    /// Gives the room of a record back, if it took any.
    pub(super) fn give_back(&self, opaque: usize) {
        if !self.is_limited() {
            return;
        }
        let mut queued = self.queued.lock();
        if let Some(size) = queued.sizes.remove(&opaque) {
            queued.bytes -= size;
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit.load(Ordering::Acquire) != usize::MAX
    }

    /// Limits the topic to what one batch may hold; None: to nothing.
    pub(super) fn set_limit(&self, batch_bytes: Option<usize>) {
        let limit = batch_bytes.filter(|bytes| *bytes < NO_LIMIT);
        self.limit.store(limit.map_or(usize::MAX, |bytes| bytes.saturating_sub(BATCH_OVERHEAD)), Ordering::Release);
        if limit.is_none() {
            *self.queued.lock() = Queued::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_queued_than_a_batch_holds_but_a_record_that_is_alone() {
        let allowance = Allowance::new(100);
        assert!(allowance.take(1, || 60) && allowance.take(2, || 40));
        assert!(!allowance.take(3, || 1));
        allowance.give_back(1);
        allowance.give_back(1);
        assert!(allowance.take(3, || 60) && !allowance.take(4, || 1));
        allowance.give_back(2);
        allowance.give_back(3);
        assert!(allowance.take(5, || 1000) && !allowance.take(6, || 1));
    }

    #[test]
    fn a_limit_that_librdkafka_keeps_itself_is_none() {
        let allowance = Allowance::new(100);
        assert!(allowance.take(1, || 100));
        allowance.set_limit(Some(NO_LIMIT));
        assert!(!allowance.is_limited() && allowance.take(2, || unreachable!("nothing is counted")));
        allowance.set_limit(Some(200));
        assert!(allowance.take(3, || 139));
        allowance.give_back(1);
        allowance.give_back(2);
        assert!(!allowance.take(4, || 1));
    }
}
