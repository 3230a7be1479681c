//! A librdkafka producer, by its raw calls.
//!
//! rdkafka's safe producers are not used, for three things that they do not offer: whether a failed message may be
//! stored (`rd_kafka_message_status`), a topic handle kept between messages, and a whole batch of delivery reports at
//! once. Creation, configuration and destruction stay with rdkafka's own client.

use std::collections::HashMap;
use std::ffi::{c_void, CString};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::ptr;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rdkafka::bindings as sys;
use rdkafka::client::{Client as BaseClient, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;

use super::event::{text, Event, RawEvent};
use super::record::Record;
use super::token::Token;
use rdkafka::types::RDKafkaErrorCode as Code;

/// librdkafka takes no shorter timeout of a request to a broker.
const SHORTEST_REQUEST: Duration = Duration::from_millis(1);

/// A librdkafka producer. Any thread may call any method.
pub struct Client {
    // Dropped in this order: handles before the client that they belong to.
    topics: RwLock<HashMap<Box<str>, Topic>>,
    queue: Queue,
    base: BaseClient<DefaultClientContext>,
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
        // SAFETY: the pointer came from rd_kafka_queue_get_main or rd_kafka_queue_new and is given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

/// A broker of the cluster, as another one described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) number: i32,
    host: String,
    port: u16,
}

impl Broker {
    pub(crate) fn new(number: i32, host: String, port: i32) -> Self {
        Self { number, host, port: u16::try_from(port).unwrap_or_default() }
    }

    /// Connects and hangs up.
    fn accepts_connections(&self, timeout: Duration) -> io::Result<()> {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            result = TcpStream::connect_timeout(&address, timeout).map(drop);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

impl Client {
    /// Creates the producer, which connects in librdkafka's own threads.
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
        let base = BaseClient::new(config, native_config, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext)?;
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped, before the client.
        let queue = Queue(unsafe { sys::rd_kafka_queue_get_main(base.native_ptr()) });
        Ok(Self { topics: RwLock::default(), queue, base })
    }

    /// Puts a copy of the record into librdkafka's queue; its delivery report will carry `opaque`.
    ///
    /// # Errors
    /// librdkafka's code when it does not take the record; it keeps nothing then.
    pub fn produce(&self, record: &Record<'_>, opaque: usize) -> Result<(), Code> {
        if let Some(topic) = self.topics.read().get(record.topic) {
            return self.produce_to(topic, record, opaque);
        }
        self.open_topic(record.topic)?;
        self.topics
            .read()
            .get(record.topic)
            .map_or(Err(Code::UnknownTopic), |topic| self.produce_to(topic, record, opaque))
    }

    fn open_topic(&self, topic: &str) -> Result<(), Code> {
        let mut topics = self.topics.write();
        if !topics.contains_key(topic) {
            topics.insert(topic.into(), self.new_topic(topic)?);
        }
        Ok(())
    }

    fn new_topic(&self, name: &str) -> Result<Topic, Code> {
        let name = CString::new(name).map_err(|_| Code::InvalidTopic)?;
        // SAFETY: the client is alive, the name ends with NUL, and no topic configuration means the default one.
        let topic = unsafe { sys::rd_kafka_topic_new(self.base.native_ptr(), name.as_ptr(), ptr::null_mut()) };
        // SAFETY: reads the thread's last error, set by the call above.
        (!topic.is_null()).then_some(Topic(topic)).ok_or_else(|| unsafe { sys::rd_kafka_last_error() }.into())
    }

    fn produce_to(&self, topic: &Topic, record: &Record<'_>, opaque: usize) -> Result<(), Code> {
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

    /// Asks any broker about all brokers and the topics in use; blocks up to `timeout`.
    ///
    /// While no topic is in use librdkafka asks about all topics, of which a cluster may have many. So `usual_topic` is
    /// opened as soon as it is seen to exist; asking for it by name before that could create it.
    ///
    /// # Errors
    /// librdkafka's code: no broker reachable, or no answer in time.
    pub(crate) fn probe(&self, usual_topic: &str, timeout: Duration) -> Result<Vec<Broker>, Code> {
        let (client, timeout) = (self.base.native_ptr(), milliseconds(timeout));
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; `metadata` is valid to write to, and given back below.
        let code: Code =
            unsafe { sys::rd_kafka_metadata(client, 0, ptr::null_mut(), &raw mut metadata, timeout) }.into();
        if code != Code::NoError {
            return Err(code);
        }
        // SAFETY: on success librdkafka set the pointer to a metadata structure that is ours, in which the array of
        // topics has the length given, each topic a name that ends with NUL, and the array of brokers the length given.
        let (brokers, usual_topic_exists) = unsafe {
            let metadata = &*metadata;
            let topics = slice(metadata.topics, metadata.topic_cnt);
            let is_usual = |topic: &sys::rd_kafka_metadata_topic| text(topic.topic) == usual_topic;
            let exists = topics.iter().any(|topic| is_usual(topic) && Code::from(topic.err) == Code::NoError);
            let brokers = slice(metadata.brokers, metadata.broker_cnt);
            let broker =
                |broker: &sys::rd_kafka_metadata_broker| Broker::new(broker.id, text(broker.host), broker.port);
            (brokers.iter().map(broker).collect(), exists)
        };
        // SAFETY: given back once; nothing borrowed from it is left.
        unsafe { sys::rd_kafka_metadata_destroy(metadata) };
        if usual_topic_exists {
            self.open_topic(usual_topic)?;
        }
        Ok(brokers)
    }

    /// As [`Self::probe`], but fails at once while no broker is connected. [`Self::probe`] would wait for a connection, and
    /// make librdkafka try to connect 20 times a second meanwhile (`rd_kafka_connect_any`, for
    /// `reconnect.backoff.ms` = 100).
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub(crate) fn probe_connected(&self, usual_topic: &str, timeout: Duration) -> Result<Vec<Broker>, Code> {
        match self.probe(usual_topic, Duration::ZERO) {
            // A broker is connected, and needs more time than none.
            Err(Code::OperationTimedOut | Code::TimedOutQueue) => self.probe(usual_topic, timeout),
            result => result,
        }
    }

    /// Asks one known broker about all brokers, connecting to it if need be; blocks up to `timeout`.
    ///
    /// [`Self::probe`] asks the broker that was used last, again and again if it is silent.
    ///
    /// # Errors
    /// librdkafka's code: not connected in time, or no answer.
    pub(crate) fn probe_broker(&self, broker: &Broker, timeout: Duration) -> Result<Vec<Broker>, Code> {
        // While a broker refuses connections, a request to it makes librdkafka connect thousands of times a second:
        // each attempt is expedited past the back-off (`RD_KAFKA_OP_CONNECT`).
        let began = Instant::now();
        broker.accepts_connections(timeout).map_err(|_| Code::BrokerTransportFailure)?;
        let timeout = timeout.saturating_sub(began.elapsed()).max(SHORTEST_REQUEST);
        let (client, timeout) = (self.base.native_ptr(), milliseconds(timeout));
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped.
        let queue = Queue(unsafe { sys::rd_kafka_queue_new(client) });
        // SAFETY: client and queue are alive; librdkafka copies the options, which are given back once, and describes no
        // refusal where there is no room for a text; the event is ours.
        let event = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_broker(options, broker.number, ptr::null_mut(), 0);
            sys::rd_kafka_DescribeCluster(client, options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            RawEvent::take(sys::rd_kafka_queue_poll(queue.0, timeout))
        };
        let event = event.ok_or(Code::OperationTimedOut)?;
        match event.error_code() {
            Code::NoError => Ok(described_brokers(&event)),
            code => Err(code),
        }
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
        if let Err(reason) = token.and_then(|token| self.try_token(token)) {
            let reason = CString::new(reason).unwrap_or_default();
            // SAFETY: client and string are alive.
            unsafe { sys::rd_kafka_oauthbearer_set_token_failure(self.base.native_ptr(), reason.as_ptr()) };
        }
    }

    fn try_token(&self, token: &Token) -> Result<(), &'static str> {
        let value = CString::new(token.value.as_str()).map_err(|_| "the token holds a NUL character")?;
        let principal = CString::new(token.principal.as_str()).map_err(|_| "the principal holds a NUL character")?;
        let mut reason = [0; 512];
        // SAFETY: client and strings are alive, there are no extensions, and the buffer has the length given.
        let code: Code = unsafe {
            sys::rd_kafka_oauthbearer_set_token(
                self.base.native_ptr(),
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
    }
}

/// The brokers in the result of a `DescribeCluster` that succeeded.
fn described_brokers(event: &RawEvent) -> Vec<Broker> {
    let mut count = 0;
    // SAFETY: the event is alive; one that holds no such result gives null, and an array of no brokers. The array has
    // the length given and lives as long as the event, as the brokers in it do.
    unsafe {
        let result = sys::rd_kafka_event_DescribeCluster_result(event.as_ptr());
        if result.is_null() {
            return Vec::new();
        }
        let brokers = sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
        let brokers = slice(brokers, i32::try_from(count).unwrap_or(0));
        let broker = |node: &*const sys::rd_kafka_Node_t| {
            let (host, port) = (text(sys::rd_kafka_Node_host(*node)), sys::rd_kafka_Node_port(*node));
            Broker::new(sys::rd_kafka_Node_id(*node), host, i32::from(port))
        };
        brokers.iter().map(broker).collect()
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
unsafe fn slice<'a, T>(items: *const T, count: i32) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: by the contract above.
        Ok(count) if count > 0 => unsafe { std::slice::from_raw_parts(items, count) },
        _ => &[],
    }
}

fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::EmbeddedBroker;

    const LIMIT: Duration = Duration::from_secs(10);

    fn client(servers: &str) -> Client {
        Client::create(ClientConfig::new().set("bootstrap.servers", servers)).unwrap()
    }

    #[test]
    fn each_broker_can_be_asked_for_the_others() {
        let cluster = EmbeddedBroker::start(3).unwrap();
        let client = client(cluster.bootstrap_servers());
        let sorted = |mut brokers: Vec<Broker>| {
            brokers.sort_unstable_by_key(|broker| broker.number);
            brokers
        };
        let known = sorted(client.probe("events", LIMIT).unwrap());
        assert!(known.iter().map(|broker| broker.number).eq(1..=3));
        for broker in &known {
            assert_eq!(sorted(client.probe_broker(broker, LIMIT).unwrap()), known);
        }
        let unknown = Broker { number: 4, ..known.first().unwrap().clone() };
        assert_eq!(client.probe_broker(&unknown, Duration::from_millis(100)), Err(Code::OperationTimedOut));
        let refusing = Broker { port: 1, ..unknown };
        assert_eq!(client.probe_broker(&refusing, LIMIT), Err(Code::BrokerTransportFailure));
    }

    #[test]
    fn a_probe_of_what_is_connected_waits_for_no_connection() {
        let client = client("127.0.0.1:1");
        let began = Instant::now();
        assert_eq!(client.probe_connected("events", LIMIT), Err(Code::BrokerTransportFailure));
        assert!(began.elapsed() < LIMIT / 2);
        let cluster = EmbeddedBroker::start(1).unwrap();
        let client = super::tests::client(cluster.bootstrap_servers());
        // The first answer ends the bootstrap connection.
        (0..2).for_each(|_| drop(client.probe("events", LIMIT).unwrap()));
        cluster.set_round_trip(Duration::from_millis(200)).unwrap();
        assert_eq!(client.probe_connected("events", LIMIT).unwrap().len(), 1);
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
