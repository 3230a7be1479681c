//! A topic that a client uses: its handle, what the cluster says of it, and how much of it may be queued at once.
//!
//! A broker compares a topic's `max.message.bytes` with a whole batch, and librdkafka fills its batches up to a limit of
//! the client (`batch.size`). So of a topic with a smaller limit no more is queued at once than one batch may hold.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicU8, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

/// What may be queued of a topic before it was looked up: `batch.size` of Kafka's own client, which most topics take.
const FIRST_ALLOWANCE: usize = 16_384;
/// From this limit on librdkafka's own is smaller: its default of `batch.size`.
const NO_LIMIT: usize = 1_000_000;
/// So many looks in a row may stay without an answer: on a slow network the first allowance would hold back for good.
const MOST_UNANSWERED: u32 = 3;
/// What a batch holds besides its records (Kafka's format of record batches).
const BATCH_OVERHEAD: usize = 61;

/// What the cluster said of a topic's `max.message.bytes`.
#[derive(Clone, Copy, Default)]
pub(super) enum Limit {
    /// Nothing.
    #[default]
    Unanswered,
    /// That this client may not know it, which takes the right `DescribeConfigs`.
    Untold,
    Bytes(usize),
}

/// A topic in use.
pub(super) struct Topic {
    handle: *mut sys::rd_kafka_topic_t,
    existence: AtomicU8,
    /// Records that are queued since the topic was not known to exist.
    stranded: AtomicU64,
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
        let existence = AtomicU8::new(Existence::Unknown as u8);
        Ok(Self { handle, existence, stranded: AtomicU64::new(0), allowance })
    }

    pub(super) fn handle(&self) -> *mut sys::rd_kafka_topic_t {
        self.handle
    }

    /// Whether the cluster said that there is no such topic.
    pub(super) fn is_missing(&self) -> bool {
        self.existence.load(Ordering::Acquire) == Existence::Missing as u8
    }

    /// Whether the cluster has to be asked about it.
    pub(super) fn has_to_be_looked_up(&self) -> bool {
        self.is_unknown() || self.allowance.is_short()
    }

    /// Whether it is not known to exist.
    fn is_unknown(&self) -> bool {
        self.existence.load(Ordering::Acquire) != Existence::Exists as u8
    }

    /// The cluster has the topic. Where more of it waits than is allowed, its limit was asked for: without an answer it keeps
    /// the allowance that it has, and has to be looked up again, a few times.
    pub(super) fn found(&self, limit: Limit) {
        let before = self.existence.swap(Existence::Exists as u8, Ordering::AcqRel);
        self.stranded.store(0, Ordering::Release);
        if self.allowance.is_short() {
            self.allowance.set_limit(limit);
        } else if before == Existence::Missing as u8 {
            self.allowance.begin_again();
        }
    }

    /// The cluster does not have the topic. When it says so again, all of it is let through, so that it holds up no other:
    /// a broker that has not yet heard of a new topic says so too.
    pub(super) fn not_found(&self) {
        let before = self.existence.swap(Existence::Missing as u8, Ordering::AcqRel);
        if before == Existence::Missing as u8 && self.allowance.is_short() {
            self.allowance.set_limit(Limit::Untold);
        }
    }

    /// The cluster gave no answer about the topic.
    pub(super) fn not_answered(&self) {
        self.existence.store(Existence::Unknown as u8, Ordering::Release);
        if self.allowance.is_short() {
            self.allowance.set_limit(Limit::Unanswered);
        }
    }

    /// A record of this topic is queued.
    pub(super) fn note_queued(&self) {
        if self.is_unknown() {
            self.stranded.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A record of this topic failed.
    pub(super) fn note_failed(&self) {
        let one_less = |stranded: u64| stranded.checked_sub(1);
        // None are left when the topic turned up meanwhile.
        let _ = self.stranded.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
    }

    /// Records that wait for a topic that does not exist.
    pub(super) fn stranded(&self) -> u64 {
        if self.is_missing() {
            self.stranded.load(Ordering::Acquire)
        } else {
            0
        }
    }
}

/// How much of a topic may be queued, and how much is.
pub(super) struct Allowance {
    /// In bytes; `usize::MAX` when nothing is counted.
    limit: AtomicUsize,
    /// Whether the first allowance was not enough, so that the topic's own limit has to be known.
    is_short: AtomicBool,
    /// Whether a broker has refused a batch, so that there is a limit, known or not.
    was_refused: AtomicBool,
    /// Looks in a row without an answer.
    unanswered: AtomicU32,
    queued: Mutex<Queued>,
}

#[derive(Default)]
struct Queued {
    bytes: usize,
    sizes: HashMap<usize, usize>,
}

impl Allowance {
    fn new(limit: usize) -> Self {
        let (is_short, was_refused) = (AtomicBool::new(false), AtomicBool::new(false));
        let unanswered = AtomicU32::new(0);
        Self { limit: AtomicUsize::new(limit), is_short, was_refused, unanswered, queued: Mutex::default() }
    }

    /// Whether the topic's own limit has to be known.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Acquire)
    }

    /// There is no room; returns whether this is the first time since the limit was set.
    pub(super) fn fell_short(&self) -> bool {
        self.limit.load(Ordering::Acquire) == FIRST_ALLOWANCE && !self.is_short.swap(true, Ordering::AcqRel)
    }

    /// A broker has refused a batch of several records as too large; returns whether this is the first time since the
    /// limit was set.
    pub(super) fn note_refused_batch(&self) -> bool {
        self.was_refused.store(true, Ordering::SeqCst);
        self.limit.fetch_min(FIRST_ALLOWANCE, Ordering::SeqCst);
        !self.is_short.swap(true, Ordering::AcqRel)
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

    /// Gives the room of records back, if they took any.
    pub(super) fn give_back(&self, opaques: &[usize]) {
        if !self.is_limited() {
            return;
        }
        let mut queued = self.queued.lock();
        for opaque in opaques {
            if let Some(size) = queued.sizes.remove(opaque) {
                queued.bytes -= size;
            }
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit.load(Ordering::Acquire) != usize::MAX
    }

    /// All was let through of a topic that did not exist; now it does, and may have a limit.
    fn begin_again(&self) {
        self.is_short.store(false, Ordering::Release);
        self.limit.store(FIRST_ALLOWANCE, Ordering::SeqCst);
    }

    /// Limits the topic to what one batch may hold; to nothing where that is not told, or not answered again and again,
    /// unless a batch was refused.
    fn set_limit(&self, limit: Limit) {
        let limit = match limit {
            Limit::Unanswered if self.unanswered.fetch_add(1, Ordering::AcqRel) + 1 < MOST_UNANSWERED => return,
            Limit::Unanswered => Limit::Untold,
            answered => answered,
        };
        self.unanswered.store(0, Ordering::Release);
        let bytes = match limit {
            Limit::Bytes(bytes) if bytes < NO_LIMIT => bytes.saturating_sub(BATCH_OVERHEAD),
            Limit::Bytes(_) | Limit::Untold | Limit::Unanswered => usize::MAX,
        };
        self.is_short.store(false, Ordering::Release);
        self.limit.store(bytes, Ordering::SeqCst);
        // Looked at last: a batch may be refused meanwhile.
        if matches!(limit, Limit::Untold) && self.was_refused.load(Ordering::SeqCst) {
            self.limit.fetch_min(FIRST_ALLOWANCE - BATCH_OVERHEAD, Ordering::SeqCst);
        }
        if !self.is_limited() {
            *self.queued.lock() = Queued::default();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::client::tests::client;
    use super::*;

    #[test]
    fn no_more_is_queued_than_a_batch_holds_but_a_record_that_is_alone() {
        let allowance = Allowance::new(100);
        assert!(allowance.take(1, || 60) && allowance.take(2, || 40));
        assert!(!allowance.take(3, || 1));
        allowance.give_back(&[1, 1]);
        assert!(allowance.take(3, || 60) && !allowance.take(4, || 1));
        allowance.give_back(&[2, 3]);
        assert!(allowance.take(5, || 1000) && !allowance.take(6, || 1));
    }

    #[test]
    fn a_limit_that_librdkafka_keeps_itself_is_none() {
        let allowance = Allowance::new(100);
        assert!(allowance.take(1, || 100));
        allowance.set_limit(Limit::Bytes(NO_LIMIT));
        assert!(!allowance.is_limited() && allowance.take(2, || unreachable!("nothing is counted")));
        allowance.set_limit(Limit::Bytes(200));
        assert!(allowance.take(3, || 139));
        allowance.give_back(&[1, 2]);
        assert!(!allowance.take(4, || 1));
    }

    fn with_topic(test: impl FnOnce(&Topic)) {
        let client = client("127.0.0.1:1");
        let topic = client.open_topic("emails").unwrap();
        test(&topic);
    }

    fn allows(topic: &Topic, opaque: usize, size: usize) -> bool {
        let is_allowed = topic.allowance.take(opaque, || size);
        if !is_allowed {
            topic.allowance.fell_short();
        }
        is_allowed
    }

    #[test]
    fn without_an_answer_a_topic_keeps_its_first_allowance_and_is_looked_up_again() {
        with_topic(|topic| {
            assert!(allows(topic, 1, FIRST_ALLOWANCE) && !allows(topic, 2, 1));
            topic.not_answered();
            assert!(!allows(topic, 2, 1) && topic.has_to_be_looked_up(), "the cluster did not answer");
            topic.not_found();
            assert!(!allows(topic, 2, 1) && topic.has_to_be_looked_up(), "a broker may not have heard of it yet");
            topic.found(Limit::Unanswered);
            assert!(!allows(topic, 2, 1) && topic.has_to_be_looked_up(), "only its limit was not answered");
            topic.found(Limit::Bytes(20_000));
            assert!(allows(topic, 2, 3000) && !allows(topic, 3, 1000) && !topic.has_to_be_looked_up());
        });
    }

    #[test]
    fn a_cluster_that_never_answers_holds_no_topic_back_for_good() {
        with_topic(|topic| {
            assert!(allows(topic, 1, FIRST_ALLOWANCE) && !allows(topic, 2, 1));
            topic.not_answered();
            topic.found(Limit::Unanswered);
            assert!(!allows(topic, 2, 1) && topic.has_to_be_looked_up());
            topic.found(Limit::Unanswered);
            assert!(allows(topic, 2, 1_000_000) && !topic.has_to_be_looked_up());
            assert!(topic.allowance.note_refused_batch());
            topic.found(Limit::Unanswered);
            assert!(topic.has_to_be_looked_up(), "the looks are counted anew");
        });
    }

    #[test]
    fn a_topic_that_does_not_exist_is_let_through_until_it_does() {
        with_topic(|topic| {
            assert!(allows(topic, 1, FIRST_ALLOWANCE) && !allows(topic, 2, 1));
            topic.not_found();
            topic.not_found();
            assert!(allows(topic, 2, 1_000_000) && topic.has_to_be_looked_up());
            topic.found(Limit::Unanswered);
            assert!(!topic.has_to_be_looked_up(), "nothing waits for its limit");
            assert!(allows(topic, 3, FIRST_ALLOWANCE) && !allows(topic, 4, 1) && topic.has_to_be_looked_up());
            topic.found(Limit::Untold);
            assert!(allows(topic, 4, 1_000_000) && !topic.has_to_be_looked_up(), "nobody may know it");
        });
    }

    #[test]
    fn after_a_refused_batch_there_is_a_limit_whether_or_not_it_is_known() {
        let allowance = Allowance::new(usize::MAX);
        assert!(allowance.note_refused_batch() && allowance.is_short(), "it has to be looked up");
        assert!(!allowance.note_refused_batch(), "once");
        assert!(allowance.take(1, || FIRST_ALLOWANCE) && !allowance.take(2, || 1));
        allowance.set_limit(Limit::Untold);
        assert!(!allowance.take(2, || 1) && !allowance.fell_short(), "nobody is asked again");
        allowance.set_limit(Limit::Bytes(100_000));
        assert!(allowance.take(2, || 80_000) && !allowance.take(3, || 80_000));
    }
}
