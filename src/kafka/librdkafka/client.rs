//! The only file with raw librdkafka calls.
//!
//! rdkafka's safe producer is left aside for three things it does not offer: whether a failed message may be stored
//! (`rd_kafka_message_status`), a topic handle kept between messages, and one look at a whole batch of delivery reports.
//! Creation, configuration and destruction stay with rdkafka's [`Client`].

use std::collections::HashMap;
use std::ffi::{c_void, CStr, CString};
use std::ptr;
use std::time::Duration;

use parking_lot::RwLock;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaType};

use crate::kafka::librdkafka::event::{Acknowledgement, DeliveryReport};
use crate::kafka::librdkafka::record::Record;
use crate::producer::outcome::Ticket;

/// What librdkafka tells the one thread that polls it.
pub trait Listener {
    /// The last word on a message.
    fn delivered(&mut self, report: DeliveryReport);
    /// No more delivery reports in this batch.
    fn batch_ended(&mut self);
    /// Something is wrong with a broker or with the client as a whole.
    fn failed(&mut self, code: Code, reason: &str);
    /// A line of librdkafka's own log.
    fn logged(&mut self, line: &str);
    /// librdkafka's statistics, as JSON.
    fn statistics_told(&mut self, statistics: &str);
    /// A fresh OAUTHBEARER token is due.
    fn token_wanted(&mut self, client: &Native);
}

/// A librdkafka producer.
pub struct Native {
    // Dropped in this order: handles before the client they belong to.
    topics: RwLock<HashMap<Box<str>, Topic>>,
    queue: Queue,
    client: Client<DefaultClientContext>,
}

struct Topic(*mut sys::rd_kafka_topic_t);
struct Queue(*mut sys::rd_kafka_queue_t);

// SAFETY: librdkafka's handles may be used from any thread (librdkafka INTRODUCTION.md, "Threads and callbacks").
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}
// SAFETY: as above.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the pointer came from rd_kafka_topic_new and is given back once.
        unsafe { sys::rd_kafka_topic_destroy(self.0) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer came from rd_kafka_queue_get_main and is given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

/// The cluster, as one of its brokers told.
pub struct Cluster {
    /// Numbers of the brokers.
    pub brokers: Vec<i32>,
}

impl Native {
    /// Creates the producer; connecting goes on in librdkafka's threads.
    ///
    /// # Errors
    /// When a property is unknown, impossible, or names a file that cannot be used.
    pub fn create(config: &ClientConfig) -> Result<Self, KafkaError> {
        let native_config = config.create_native_config()?;
        let events = sys::RD_KAFKA_EVENT_DR
            | sys::RD_KAFKA_EVENT_ERROR
            | sys::RD_KAFKA_EVENT_STATS
            | sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        // SAFETY: the configuration is alive, and used by this thread alone.
        unsafe { sys::rd_kafka_conf_set_events(native_config.ptr(), events) };
        let client = Client::new(config, native_config, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext)?;
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped, before the client.
        let queue = Queue(unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) });
        Ok(Self { topics: RwLock::default(), queue, client })
    }

    /// Puts a record into librdkafka's queue, which copies it.
    ///
    /// # Errors
    /// librdkafka's code when the record is not accepted; nothing is kept then.
    pub fn produce(&self, record: &Record<'_>, ticket: Ticket) -> Result<(), Code> {
        if let Some(topic) = self.topics.read().get(record.topic) {
            return self.produce_to(topic, record, ticket);
        }
        self.take_into_use(record.topic)?;
        self.topics
            .read()
            .get(record.topic)
            .map_or(Err(Code::UnknownTopic), |topic| self.produce_to(topic, record, ticket))
    }

    fn take_into_use(&self, topic: &str) -> Result<(), Code> {
        let mut topics = self.topics.write();
        if !topics.contains_key(topic) {
            topics.insert(topic.into(), self.new_topic(topic)?);
        }
        Ok(())
    }

    fn new_topic(&self, name: &str) -> Result<Topic, Code> {
        let name = CString::new(name).map_err(|_| Code::InvalidTopic)?;
        // SAFETY: the client is alive, the name ends with NUL, and no topic configuration means the default one.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client.native_ptr(), name.as_ptr(), ptr::null_mut()) };
        // SAFETY: reads the thread's last error, set by the call above.
        (!topic.is_null()).then_some(Topic(topic)).ok_or_else(|| unsafe { sys::rd_kafka_last_error() }.into())
    }

    fn produce_to(&self, topic: &Topic, record: &Record<'_>, ticket: Ticket) -> Result<(), Code> {
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
                self.client.native_ptr(),
                RD_KAFKA_VTYPE_RKT,
                topic.0,
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
                ptr::without_provenance_mut::<c_void>(ticket.to_bits()),
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

    /// Waits up to `timeout` for one event and tells the listener.
    pub fn poll(&self, timeout: Duration, listener: &mut impl Listener) {
        // SAFETY: the queue is alive; the event is ours until destroyed, once, below.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue.0, milliseconds(timeout)) };
        if event.is_null() {
            return;
        }
        // SAFETY: the event is alive; each accessor below is called on the event type that it documents.
        match unsafe { sys::rd_kafka_event_type(event) } {
            sys::RD_KAFKA_EVENT_DR => {
                // SAFETY: as above; the messages live as long as the event.
                while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event).as_ref() } {
                    listener.delivered(delivery_report(message));
                }
                listener.batch_ended();
            }
            sys::RD_KAFKA_EVENT_ERROR => {
                // SAFETY: as above.
                let code = unsafe { sys::rd_kafka_event_error(event) }.into();
                // SAFETY: as above; the text lives as long as the event.
                let reason = unsafe { text(sys::rd_kafka_event_error_string(event)) };
                listener.failed(code, &reason);
            }
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                // SAFETY: as above; the three pointers are valid to write to.
                if unsafe { sys::rd_kafka_event_log(event, &raw mut facility, &raw mut line, &raw mut level) } == 0 {
                    // SAFETY: librdkafka filled the pointer with a text that lives as long as the event.
                    listener.logged(&unsafe { text(line) });
                }
            }
            // SAFETY: as above; the text lives as long as the event.
            sys::RD_KAFKA_EVENT_STATS => listener.statistics_told(&unsafe { text(sys::rd_kafka_event_stats(event)) }),
            sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH => listener.token_wanted(self),
            _ => {}
        }
        // SAFETY: destroyed once; nothing borrowed from it is left.
        unsafe { sys::rd_kafka_event_destroy(event) };
    }

    /// Asks any broker for the list of brokers and about the topics in use; blocks up to `timeout`.
    ///
    /// While no topic is in use librdkafka asks about all of them, of which a cluster may have many. So `usual_topic` is
    /// taken into use as soon as it is seen to exist; asking for it by name before that could create it.
    ///
    /// # Errors
    /// librdkafka's code: no broker reachable, or no answer in time.
    pub fn probe(&self, usual_topic: &str, timeout: Duration) -> Result<Cluster, Code> {
        let (client, timeout) = (self.client.native_ptr(), milliseconds(timeout));
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; `metadata` is valid to write to, and given back below.
        let code: Code =
            unsafe { sys::rd_kafka_metadata(client, 0, ptr::null_mut(), &raw mut metadata, timeout) }.into();
        if code != Code::NoError {
            return Err(code);
        }
        // SAFETY: on success librdkafka filled the pointer with a metadata structure that is ours, in which the array of
        // topics has the length given, each topic a name that ends with NUL, and the array of brokers the length given.
        let (brokers, usual_topic_exists) = unsafe {
            let metadata = &*metadata;
            let topics = slice(metadata.topics, metadata.topic_cnt);
            let is_usual = |topic: &sys::rd_kafka_metadata_topic| text(topic.topic) == usual_topic;
            let exists = topics.iter().any(|topic| is_usual(topic) && Code::from(topic.err) == Code::NoError);
            let brokers = slice(metadata.brokers, metadata.broker_cnt);
            (brokers.iter().map(|broker| broker.id).collect(), exists)
        };
        // SAFETY: given back once; nothing borrowed from it is left.
        unsafe { sys::rd_kafka_metadata_destroy(metadata) };
        if usual_topic_exists {
            self.take_into_use(usual_topic)?;
        }
        Ok(Cluster { brokers })
    }

    /// Asks one broker of the last answer for the list of brokers, connecting to it if need be; blocks up to `timeout`.
    ///
    /// [`Self::probe`] asks the broker that was used last, again and again if it is silent.
    ///
    /// # Errors
    /// librdkafka's code: not connected in time, or no answer.
    pub fn probe_broker(&self, broker: i32, timeout: Duration) -> Result<Cluster, Code> {
        let (client, timeout) = (self.client.native_ptr(), milliseconds(timeout));
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped.
        let queue = Queue(unsafe { sys::rd_kafka_queue_new(client) });
        // SAFETY: client and queue are alive; librdkafka copies the options, which are given back once, and says nothing
        // of a refusal where there is no room for a text.
        let event = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            sys::rd_kafka_DescribeCluster(client, options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_queue_poll(queue.0, timeout)
        };
        if event.is_null() {
            return Err(Code::OperationTimedOut);
        }
        // SAFETY: the event is alive.
        let told = match unsafe { sys::rd_kafka_event_error(event) }.into() {
            // SAFETY: as above; without an error it holds the result of what was asked.
            Code::NoError => Ok(unsafe { described_brokers(event) }),
            code => Err(code),
        };
        // SAFETY: given back once; nothing borrowed from it is left.
        unsafe { sys::rd_kafka_event_destroy(event) };
        told.map(|brokers| Cluster { brokers })
    }

    /// Waits up to `timeout` until the queue is empty; meanwhile nothing lingers.
    pub fn flush(&self, timeout: Duration) {
        // SAFETY: the client is alive. The result is read off the counters, which tell more.
        unsafe { sys::rd_kafka_flush(self.client.native_ptr(), milliseconds(timeout)) };
    }

    /// Fails everything that is queued or in flight; the delivery reports say so.
    pub fn purge(&self) {
        let flags = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client is alive; fails only for flags that do not exist.
        unsafe { sys::rd_kafka_purge(self.client.native_ptr(), flags) };
    }

    /// Messages and events that librdkafka still holds.
    pub fn outstanding(&self) -> usize {
        // SAFETY: the client is alive.
        usize::try_from(unsafe { sys::rd_kafka_outq_len(self.client.native_ptr()) }).unwrap_or(0)
    }

    /// Gives librdkafka an OAUTHBEARER token, or the reason why there is none.
    pub fn set_token(&self, token: Result<&crate::kafka::librdkafka::token::Token, &str>) {
        let refused = token.and_then(|token| {
            let value = CString::new(token.value.as_str()).map_err(|_| "the token holds a NUL character")?;
            let principal =
                CString::new(token.principal.as_str()).map_err(|_| "the principal holds a NUL character")?;
            let mut reason = [0; 512];
            // SAFETY: client and strings are alive, there are no extensions, and the buffer has the length given.
            let code: Code = unsafe {
                sys::rd_kafka_oauthbearer_set_token(
                    self.client.native_ptr(),
                    value.as_ptr(),
                    token.expires_at_ms,
                    principal.as_ptr(),
                    ptr::null_mut(),
                    0,
                    reason.as_mut_ptr(),
                    reason.len(),
                )
            }
            .into();
            (code == Code::NoError).then_some(()).ok_or("the token is malformed or past its lifetime")
        });
        if let Err(reason) = refused {
            let reason = CString::new(reason).unwrap_or_default();
            // SAFETY: client and string are alive.
            unsafe { sys::rd_kafka_oauthbearer_set_token_failure(self.client.native_ptr(), reason.as_ptr()) };
        }
    }
}

/// # Safety
/// The event is alive and holds the result of `DescribeCluster`.
unsafe fn described_brokers(event: *mut sys::rd_kafka_event_t) -> Vec<i32> {
    let mut count = 0;
    // SAFETY: by the contract above; the array has the length given and lives as long as the event, as the brokers in it.
    unsafe {
        let result = sys::rd_kafka_event_DescribeCluster_result(event);
        let brokers = sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
        let brokers = slice(brokers, i32::try_from(count).unwrap_or(0));
        brokers.iter().map(|broker| sys::rd_kafka_Node_id(*broker)).collect()
    }
}

fn delivery_report(message: &sys::rd_kafka_message_t) -> DeliveryReport {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive, and `kind` is valid to write to.
    let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(message, &raw mut kind) };
    // SAFETY: the message is alive.
    let status = unsafe { sys::rd_kafka_message_status(message) };
    let code: Code = message.err.into();
    let topic = (code != Code::NoError).then(|| {
        // SAFETY: a produced message has a topic, alive as long as the message, whose name ends with NUL.
        unsafe { text(sys::rd_kafka_topic_name(message.rkt)) }
    });
    DeliveryReport {
        ticket: Ticket::from_bits(message._private.addr()),
        code,
        topic,
        acknowledgement: Acknowledgement {
            partition: message.partition,
            // librdkafka marks an unknown offset with a large negative number of its own.
            offset: message.offset.max(-1),
            timestamp_ms,
        },
        // SAFETY: the message is alive.
        latency: micros(unsafe { sys::rd_kafka_message_latency(message) }),
        bytes: message.len + message.key_len,
        maybe_delivered: status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED,
    }
}

/// librdkafka has -1 for a time that it does not know.
fn micros(count: i64) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(0))
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
unsafe fn slice<'a, T>(items: *const T, count: i32) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: by the contract above.
        Ok(count) if count > 0 => unsafe { std::slice::from_raw_parts(items, count) },
        _ => &[],
    }
}

/// # Safety
/// `text` is null, or ends with NUL and lives during the call.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}

fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::embedded_broker::EmbeddedBroker;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn each_broker_can_be_asked_for_the_others() {
        let cluster = EmbeddedBroker::start(3).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let native = Native::create(&config).unwrap();
        let sorted = |mut cluster: Cluster| {
            cluster.brokers.sort_unstable();
            cluster.brokers
        };
        let known = sorted(native.probe("events", PATIENCE).unwrap());
        assert_eq!(known, [1, 2, 3]);
        for broker in &known {
            assert_eq!(sorted(native.probe_broker(*broker, PATIENCE).unwrap()), known);
        }
        assert_eq!(native.probe_broker(4, Duration::from_millis(100)).err(), Some(Code::OperationTimedOut));
    }
}
