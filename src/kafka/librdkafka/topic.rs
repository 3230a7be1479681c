//! The topics of one client: their handles, what the cluster says of them, and how much of each may be queued at once.
//!
//! A broker compares a topic's `max.message.bytes` with a whole batch, and librdkafka fills its batches up to a limit of
//! the client (`batch.size`). So of a topic with a smaller limit no more is queued at once than one batch may hold.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{milliseconds, slice, Client, Queue};
use super::event::{text, RawEvent};

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
enum Existence {
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

    fn set_existence(&self, existence: Existence) {
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
    fn set_limit(&self, batch_bytes: Option<usize>) {
        let limit = batch_bytes.filter(|bytes| *bytes < NO_LIMIT);
        self.limit.store(limit.map_or(usize::MAX, |bytes| bytes.saturating_sub(BATCH_OVERHEAD)), Ordering::Release);
        if limit.is_none() {
            *self.queued.lock() = Queued::default();
        }
    }
}

impl Client {
    /// Asks the cluster about the topics of which it is not known that they exist; blocks up to `timeout`. Returns whether
    /// some are still not known to exist.
    ///
    /// Where the client may not know the limit of a topic (it takes the right `DescribeConfigs`), nothing is limited.
    pub fn look_topics_up(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        for (name, topic) in self.unknown_topics() {
            let existence = self.existence(&topic, left());
            if matches!(existence, Existence::Exists) {
                topic.allowance.set_limit(self.max_message_bytes(&name, left()));
            }
            topic.set_existence(existence);
        }
        // What waited for the limit may go.
        self.wake();
        !self.unknown_topics().is_empty()
    }

    fn existence(&self, topic: &Topic, timeout: Duration) -> Existence {
        let mut metadata = ptr::null();
        // SAFETY: client and topic are alive; `metadata` is valid to write to, and given back below.
        let code: Code = unsafe {
            sys::rd_kafka_metadata(self.native_ptr(), 0, topic.handle, &raw mut metadata, milliseconds(timeout))
        }
        .into();
        if code != Code::NoError {
            return Existence::Unknown;
        }
        // SAFETY: on success librdkafka set the pointer to a metadata structure that is ours, whose array of topics has
        // the length given; it is given back once, and nothing borrowed from it is left.
        unsafe {
            let topics = slice((*metadata).topics, (*metadata).topic_cnt);
            let code = topics.first().map(|topic| Code::from(topic.err));
            sys::rd_kafka_metadata_destroy(metadata);
            match code {
                Some(Code::NoError) => Existence::Exists,
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Existence::Missing,
                _ => Existence::Unknown,
            }
        }
    }

    /// The topic's `max.message.bytes`; None when nobody answers in time, or may not.
    fn max_message_bytes(&self, name: &str, timeout: Duration) -> Option<usize> {
        let client = self.native_ptr();
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let name = CString::new(name).ok()?;
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped.
        let queue = Queue(unsafe { sys::rd_kafka_queue_new(client) });
        let wait = milliseconds(timeout).max(1);
        // SAFETY: client and queue are alive; librdkafka copies resource and options, each of which is given back once,
        // and describes no refusal where there is no room for a text; the event is ours.
        let event = unsafe {
            let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            let mut resource = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
            sys::rd_kafka_DescribeConfigs(client, &raw mut resource, 1, options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_ConfigResource_destroy(resource);
            RawEvent::take(sys::rd_kafka_queue_poll(queue.0, wait))
        }?;
        described_limit(&event)
    }
}

/// `max.message.bytes` in the result of a `DescribeConfigs` of one topic.
fn described_limit(event: &RawEvent) -> Option<usize> {
    let mut count = 0;
    // SAFETY: the event is alive; one that holds no such result gives null, and null has no resources. The arrays have
    // the lengths given and live as long as the event, as the texts in them do; a value without a text is null.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConfigs_result(event.as_ptr());
        if result.is_null() {
            return None;
        }
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        let resource = slice(resources, i32::try_from(count).unwrap_or(0)).first()?;
        let entries = sys::rd_kafka_ConfigResource_configs(*resource, &raw mut count);
        let entries = slice(entries, i32::try_from(count).unwrap_or(0));
        let entry =
            entries.iter().find(|entry| text(sys::rd_kafka_ConfigEntry_name(**entry)) == "max.message.bytes")?;
        text(sys::rd_kafka_ConfigEntry_value(*entry)).parse().ok()
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
