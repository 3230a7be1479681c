//! Asking the brokers about the cluster, to see whether they answer.

use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::broker::{Broker, Silence};
use super::client::{slice, Client};
use super::event::{text, RawEvent};
use super::metadata::Metadata;

impl Client {
    /// Asks any broker about all brokers and the topics in use; blocks up to `timeout`.
    ///
    /// While no topic is in use librdkafka asks about all topics, of which a cluster may have many. So `usual_topic` is
    /// opened as soon as it is seen to exist; asking for it by name before that could create it.
    ///
    /// # Errors
    /// librdkafka's code: no broker reachable, or no answer in time.
    pub(crate) fn probe(&self, usual_topic: &str, timeout: Duration) -> Result<Vec<Broker>, Code> {
        self.read(self.metadata(timeout)?, usual_topic)
    }

    /// As [`Self::probe`], but fails at once while no broker is connected.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub(crate) fn probe_connected(&self, usual_topic: &str, timeout: Duration) -> Result<Vec<Broker>, Code> {
        self.read(self.metadata_if_connected(timeout)?, usual_topic)
    }

    fn read(&self, metadata: Metadata, usual_topic: &str) -> Result<Vec<Broker>, Code> {
        if metadata.topics.get(usual_topic) == Some(&Code::NoError) {
            self.open_topic(usual_topic)?;
        }
        Ok(metadata.brokers)
    }

    /// Asks one known broker about all brokers, connecting to it if need be; blocks up to `timeout`.
    ///
    /// [`Self::probe`] asks the broker that was used last, again and again if it is silent.
    ///
    /// # Errors
    /// The broker refuses connections, does not answer them, or does not answer.
    pub(crate) fn probe_broker(&self, broker: &Broker, timeout: Duration) -> Result<Vec<Broker>, Silence> {
        let began = Instant::now();
        broker.accepts_connections(timeout).map_err(|error| broker.refusal(&error))?;
        let left = timeout.saturating_sub(began.elapsed());
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
        let event = self.ask_broker(broker, operation, left, |client, options, queue| {
            // SAFETY: all three are alive.
            unsafe { sys::rd_kafka_DescribeCluster(client, options, queue) }
        })?;
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
