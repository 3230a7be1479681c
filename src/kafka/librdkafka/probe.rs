//! Asking the brokers about the cluster, to see whether they answer.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::ptr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{milliseconds, slice, Client, Queue};
use super::event::{text, RawEvent};

/// librdkafka takes no shorter timeout of a request to a broker.
const SHORTEST_REQUEST: Duration = Duration::from_millis(1);

/// Why a probe has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) code: Code,
    /// What the network said of a broker that was asked by its number, in librdkafka's form: the broker's name first.
    pub(crate) reason: Option<String>,
}

impl From<Code> for Silence {
    fn from(code: Code) -> Self {
        Self { code, reason: None }
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

    fn refusal(&self, error: &io::Error) -> Silence {
        let error = error.to_string();
        let error = error.split(" (os error").next().unwrap_or_default();
        let reason = format!("{}:{}/{}: cannot connect: {error}", self.host, self.port, self.number);
        Silence { code: Code::BrokerTransportFailure, reason: Some(reason) }
    }

    /// Connects and hangs up, within `timeout`. A name server may take much longer: a thread of its own waits for it.
    pub(super) fn accepts_connections(&self, timeout: Duration) -> io::Result<()> {
        let (done, result) = mpsc::channel();
        let (host, port, deadline) = (self.host.clone(), self.port, Instant::now() + timeout);
        thread::Builder::new().name("kafka-email-dial".into()).spawn(move || {
            // Nobody waits any longer when it took too long.
            let _ = done.send(dial(&host, port, deadline));
        })?;
        result.recv_timeout(timeout).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Tries each address of a host until one accepts a connection.
fn dial(host: &str, port: u16, deadline: Instant) -> io::Result<()> {
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    for (index, address) in addresses.iter().enumerate() {
        // One that never answers leaves time for the others.
        let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let left = (deadline.saturating_duration_since(Instant::now()) / share).max(SHORTEST_REQUEST);
        result = TcpStream::connect_timeout(address, left).map(drop);
        if result.is_ok() {
            break;
        }
    }
    result
}

impl Client {
    /// Asks any broker about all brokers and the topics in use; blocks up to `timeout`.
    ///
    /// While no topic is in use librdkafka asks about all topics, of which a cluster may have many. So `usual_topic` is
    /// opened as soon as it is seen to exist; asking for it by name before that could create it.
    ///
    /// # Errors
    /// librdkafka's code: no broker reachable, or no answer in time.
    pub(crate) fn probe(&self, usual_topic: &str, timeout: Duration) -> Result<Vec<Broker>, Code> {
        let (client, timeout) = (self.native_ptr(), milliseconds(timeout));
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
    /// The broker refuses connections, does not answer them, or does not answer.
    pub(crate) fn probe_broker(&self, broker: &Broker, timeout: Duration) -> Result<Vec<Broker>, Silence> {
        // While a broker refuses connections, a request to it makes librdkafka connect thousands of times a second:
        // each attempt is expedited past the back-off (`RD_KAFKA_OP_CONNECT`).
        let began = Instant::now();
        broker.accepts_connections(timeout).map_err(|error| broker.refusal(&error))?;
        let timeout = timeout.saturating_sub(began.elapsed()).max(SHORTEST_REQUEST);
        let (client, timeout) = (self.native_ptr(), milliseconds(timeout));
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
            code => Err(code.into()),
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::client::tests::{client, LIMIT};
    use super::*;
    use crate::testing::EmbeddedBroker;

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
        assert_eq!(client.probe_broker(&unknown, Duration::from_millis(100)), Err(Code::OperationTimedOut.into()));
        let refusing = Broker { port: 1, ..unknown };
        let silence = client.probe_broker(&refusing, LIMIT).unwrap_err();
        assert_eq!(silence.code, Code::BrokerTransportFailure);
        let reason = silence.reason.unwrap();
        assert!(reason.starts_with(&format!("{}:1/4: cannot connect: Connection refused", refusing.host)), "{reason}");
    }

    #[test]
    fn a_probe_of_what_is_connected_waits_for_no_connection() {
        let client = client("127.0.0.1:1");
        let began = Instant::now();
        assert_eq!(client.probe_connected("events", LIMIT), Err(Code::BrokerTransportFailure));
        assert!(began.elapsed() < LIMIT / 2);
        let cluster = EmbeddedBroker::start(1).unwrap();
        let client = super::super::client::tests::client(cluster.bootstrap_servers());
        // The first answer ends the bootstrap connection.
        (0..2).for_each(|_| drop(client.probe("events", LIMIT).unwrap()));
        cluster.set_round_trip(Duration::from_millis(200)).unwrap();
        assert_eq!(client.probe_connected("events", LIMIT).unwrap().len(), 1);
    }
}
