//! A librdkafka producer, by its raw calls.
//!
//! rdkafka's safe producers are not used, for three things that they do not offer: whether a failed message may be
//! stored (`rd_kafka_message_status`), a topic handle kept between messages, and a whole batch of delivery reports at
//! once. Creation, configuration and destruction stay with rdkafka's own client.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rdkafka::bindings as sys;
use rdkafka::client::{Client as BaseClient, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;

use super::event::{Event, RawEvent};
use super::record::Record;
use super::token::{give, Token};
use super::topic::Topic;
use rdkafka::types::RDKafkaErrorCode as Code;

/// A librdkafka producer. Any thread may call any method.
pub struct Client {
    // Dropped in this order: handles before the client that they belong to.
    topics: RwLock<HashMap<Box<str>, Arc<Topic>>>,
    on_topic_question: Box<dyn Fn() + Send + Sync>,
    queue: Queue,
    base: BaseClient<DefaultClientContext>,
}

pub(super) struct Queue(pub(super) *mut sys::rd_kafka_queue_t);

// SAFETY: librdkafka's handles may be used from any thread (librdkafka INTRODUCTION.md, "Threads and callbacks").
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// So much of its topic is queued that it might end up in a batch that the topic does not take.
    TopicFull,
    /// librdkafka's code.
    Code(Code),
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer came from rd_kafka_queue_get_main or rd_kafka_queue_new and is given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

impl Client {
    /// Creates the producer, which connects in librdkafka's own threads. `on_topic_question` is called when topics
    /// should be looked up.
    ///
    /// # Errors
    /// When a property is unknown, impossible, or names a file that cannot be used.
    pub fn create(
        config: &ClientConfig,
        on_topic_question: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let native_config = config.create_native_config()?;
        let events = sys::RD_KAFKA_EVENT_DR
            | sys::RD_KAFKA_EVENT_ERROR
            | sys::RD_KAFKA_EVENT_STATS
            | sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        // SAFETY: the configuration is alive, and used by this thread alone.
        unsafe { sys::rd_kafka_conf_set_events(native_config.ptr(), events) };
        #[cfg(unix)]
        super::resolver::install(&native_config);
        let base = BaseClient::new(config, native_config, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext)?;
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped, before the client.
        let queue = Queue(unsafe { sys::rd_kafka_queue_get_main(base.native_ptr()) });
        Ok(Self { topics: RwLock::default(), on_topic_question: Box::new(on_topic_question), queue, base })
    }

    /// Puts a copy of the record into librdkafka's queue; its delivery report will carry `opaque`.
    ///
    /// # Errors
    /// When the record is not taken; librdkafka keeps nothing then.
    pub fn produce(&self, record: &Record<'_>, opaque: usize) -> Result<(), Refused> {
        if let Some(topic) = self.topics.read().get(record.topic) {
            return self.produce_to(topic, record, opaque);
        }
        let topic = self.open_topic(record.topic)?;
        self.produce_to(&topic, record, opaque)
    }

    /// Keeps a handle of the topic, which makes librdkafka ask for its metadata.
    pub(super) fn open_topic(&self, name: &str) -> Result<Arc<Topic>, Code> {
        let mut topics = self.topics.write();
        if let Some(topic) = topics.get(name) {
            return Ok(Arc::clone(topic));
        }
        let topic = Arc::new(Topic::open(self.base.native_ptr(), name)?);
        topics.insert(name.into(), Arc::clone(&topic));
        drop(topics);
        (self.on_topic_question)();
        Ok(topic)
    }

    /// The topics about which the cluster has to be asked.
    pub(super) fn unknown_topics(&self) -> Vec<(Box<str>, Arc<Topic>)> {
        let topics = self.topics.read();
        let unknown = topics.iter().filter(|(_, topic)| topic.has_to_be_looked_up());
        unknown.map(|(name, topic)| (name.clone(), Arc::clone(topic))).collect()
    }

    /// Whether there are topics about which the cluster has to be asked.
    pub(crate) fn has_unknown_topics(&self) -> bool {
        self.topics.read().values().any(|topic| topic.has_to_be_looked_up())
    }

    /// Whether the cluster said that there is no such topic.
    pub(crate) fn is_missing(&self, topic: &str) -> bool {
        self.topics.read().get(topic).is_some_and(|topic| topic.is_missing())
    }

    /// A record of this topic failed.
    pub(crate) fn note_failed(&self, topic: &str) {
        if let Some(topic) = self.topics.read().get(topic) {
            topic.note_failed();
        }
    }

    /// Records that wait for topics that do not exist.
    pub(crate) fn stranded(&self) -> u64 {
        self.topics.read().values().map(|topic| topic.stranded()).sum()
    }

    /// Whether [`Self::give_room_back`] has to be called for the records that are queued now.
    pub(crate) fn counts_room(&self) -> bool {
        self.topics.read().values().any(|topic| topic.allowance.is_limited())
    }

    /// The delivery reports of these records were read: their topics have room for others.
    pub(crate) fn give_room_back(&self, opaques: &[usize]) {
        self.topics.read().values().for_each(|topic| topic.allowance.give_back(opaques));
    }

    /// A broker has refused a batch of several records of this topic as too large: from now on batches are small.
    pub(crate) fn note_refused_batch(&self, topic: &str) {
        if self.topics.read().get(topic).is_some_and(|topic| topic.allowance.note_refused_batch()) {
            (self.on_topic_question)();
        }
    }

    fn produce_to(&self, topic: &Topic, record: &Record<'_>, opaque: usize) -> Result<(), Refused> {
        if !topic.allowance.take(opaque, || record.wire_size()) {
            if topic.allowance.fell_short() {
                (self.on_topic_question)();
            }
            return Err(Refused::TopicFull);
        }
        self.hand_over(topic, record, opaque).map_err(|code| {
            topic.allowance.give_back(&[opaque]);
            Refused::Code(code)
        })?;
        topic.note_queued();
        Ok(())
    }

    fn hand_over(&self, topic: &Topic, record: &Record<'_>, opaque: usize) -> Result<(), Code> {
        use sys::rd_kafka_vtype_t::{
            RD_KAFKA_VTYPE_END, RD_KAFKA_VTYPE_HEADERS, RD_KAFKA_VTYPE_KEY, RD_KAFKA_VTYPE_MSGFLAGS,
            RD_KAFKA_VTYPE_OPAQUE, RD_KAFKA_VTYPE_RKT, RD_KAFKA_VTYPE_VALUE,
        };
        let headers = native_headers(record);
        let key = if record.key.is_empty() { ptr::null() } else { record.key.as_ptr() };
        // SAFETY: types and order of the arguments are those that rdkafka.h documents for each RD_KAFKA_VTYPE; client
        // and topic are alive; payload and key are copied (F_COPY; keys always are); the headers belong to the message
        // when the call succeeds; the opaque is a number, never followed as a pointer.
        let code: Code = unsafe {
            sys::rd_kafka_producev(
                self.base.native_ptr(),
                RD_KAFKA_VTYPE_RKT,
                topic.handle(),
                RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                RD_KAFKA_VTYPE_VALUE,
                record.payload.as_ptr().cast::<c_void>(),
                record.payload.len(),
                RD_KAFKA_VTYPE_KEY,
                key.cast::<c_void>(),
                record.key.len(),
                RD_KAFKA_VTYPE_HEADERS,
                headers,
                RD_KAFKA_VTYPE_OPAQUE,
                ptr::without_provenance_mut::<c_void>(opaque),
                RD_KAFKA_VTYPE_END,
            )
        }
        .into();
        if code == Code::NoError {
            return Ok(());
        }
        // SAFETY: the message was refused, so the headers are still ours to free, once.
        unsafe { sys::rd_kafka_headers_destroy(headers) };
        Err(code)
    }

    /// Waits up to `timeout` for one event; [`Self::wake`] ends the wait.
    pub fn poll(&self, timeout: Duration) -> Option<Event> {
        // SAFETY: the queue is alive; the event is ours.
        unsafe { RawEvent::take(sys::rd_kafka_queue_poll(self.queue.0, milliseconds(timeout))) }?.decode()
    }

    /// Makes the thread in [`Self::poll`] return now, or the next call of it if there is no such thread.
    pub(crate) fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_yield(self.queue.0) }
    }

    pub(super) fn native_ptr(&self) -> *mut sys::rd_kafka_t {
        self.base.native_ptr()
    }

    /// Waits up to `timeout` until the queue is empty; meanwhile nothing lingers.
    pub(crate) fn flush(&self, timeout: Duration) {
        // SAFETY: the client is alive. The producer's counters say more than the result.
        unsafe { sys::rd_kafka_flush(self.base.native_ptr(), milliseconds(timeout)) };
    }

    /// Fails everything that is queued or in flight, with a delivery report for each.
    pub fn purge(&self) {
        let flags = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client is alive; fails only for flags that do not exist.
        unsafe { sys::rd_kafka_purge(self.base.native_ptr(), flags) };
    }

    /// Messages and events that librdkafka still holds.
    pub fn outstanding(&self) -> usize {
        // SAFETY: the client is alive.
        usize::try_from(unsafe { sys::rd_kafka_outq_len(self.base.native_ptr()) }).unwrap_or(0)
    }

    /// Gives librdkafka an OAUTHBEARER token, or the reason why there is none.
    pub(crate) fn set_token(&self, token: Result<&Token, &str>) {
        // SAFETY: the client is alive.
        unsafe { give(self.base.native_ptr(), token) };
    }
}

fn native_headers(record: &Record<'_>) -> *mut sys::rd_kafka_headers_t {
    // SAFETY: allocates; freed by the message that takes it, or by the caller when that is refused.
    let headers = unsafe { sys::rd_kafka_headers_new(record.headers.len()) };
    for (name, value) in record.headers {
        // SAFETY: librdkafka copies name and value, whose lengths are given.
        unsafe {
            sys::rd_kafka_header_add(
                headers,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value.as_ptr().cast(),
                value.len().cast_signed(),
            );
        }
    }
    headers
}

/// # Safety
/// `items` points to `count` items that live as long as the slice is used, or `count` is 0.
pub(super) unsafe fn slice<'a, T>(items: *const T, count: i32) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: by the contract above.
        Ok(count) if count > 0 => unsafe { std::slice::from_raw_parts(items, count) },
        _ => &[],
    }
}

pub(super) fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::time::Instant;

    use super::*;
    use crate::testing::EmbeddedBroker;

    pub(in super::super) const LIMIT: Duration = Duration::from_secs(10);

    pub(in super::super) fn client(servers: &str) -> Client {
        Client::create(ClientConfig::new().set("bootstrap.servers", servers), || ()).unwrap()
    }

    #[test]
    fn a_delivery_report_carries_the_opaque_of_its_record() {
        let cluster = EmbeddedBroker::start(1).unwrap();
        let client = client(cluster.bootstrap_servers());
        client.produce(&Record { topic: "events", key: b"k", payload: b"p", headers: &[("h", b"v")] }, 42).unwrap();
        let report = loop {
            if let Some(Event::Delivered(mut reports)) = client.poll(LIMIT) {
                break reports.next().unwrap();
            }
        };
        assert_eq!((report.opaque, report.is_delivered(), report.bytes), (42, true, 2));
        assert_eq!(report.acknowledgement.offset, 0);
    }

    #[test]
    fn a_wake_up_ends_a_poll_also_one_that_has_not_begun() {
        let client = client("127.0.0.1:1");
        client.wake();
        let began = Instant::now();
        while client.poll(LIMIT).is_some() {}
        assert!(began.elapsed() < LIMIT / 2);
    }
}
