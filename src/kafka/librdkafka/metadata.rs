//! What any broker says of the cluster and of the topics in use.

use std::collections::HashMap;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::broker::Broker;
use super::client::{milliseconds, slice, Client};
use super::event::text;

/// The answer to a metadata request.
pub(super) struct Metadata {
    pub(super) brokers: Vec<Broker>,
    /// Each topic in use, and whether something is wrong with it. While none is in use, all topics of the cluster.
    pub(super) topics: HashMap<String, Code>,
}

impl Client {
    /// Asks the broker that librdkafka chooses; blocks up to `timeout`, also for a connection.
    ///
    /// # Errors
    /// librdkafka's code: no broker reachable, or no answer in time.
    pub(super) fn metadata(&self, timeout: Duration) -> Result<Metadata, Code> {
        let (client, timeout) = (self.native_ptr(), milliseconds(timeout));
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; `metadata` is valid to write to, and given back below.
        let code: Code =
            unsafe { sys::rd_kafka_metadata(client, 0, ptr::null_mut(), &raw mut metadata, timeout) }.into();
        if code != Code::NoError {
            return Err(code);
        }
        // SAFETY: on success librdkafka set the pointer to a metadata structure that is ours, whose arrays have the
        // lengths given and whose texts end with NUL.
        let answer = unsafe {
            let metadata = &*metadata;
            let topics = slice(metadata.topics, metadata.topic_cnt);
            let brokers = slice(metadata.brokers, metadata.broker_cnt);
            let broker =
                |broker: &sys::rd_kafka_metadata_broker| Broker::new(broker.id, text(broker.host), broker.port);
            Metadata {
                brokers: brokers.iter().map(broker).collect(),
                topics: topics.iter().map(|topic| (text(topic.topic), topic.err.into())).collect(),
            }
        };
        // SAFETY: given back once; nothing borrowed from it is left.
        unsafe { sys::rd_kafka_metadata_destroy(metadata) };
        Ok(answer)
    }

    /// As [`Self::metadata`], but fails at once while no broker is connected. [`Self::metadata`] would wait for a connection,
    /// and make librdkafka try to connect 20 times a second meanwhile (`rd_kafka_connect_any`, for
    /// `reconnect.backoff.ms` = 100).
    ///
    /// # Errors
    /// As [`Self::metadata`].
    pub(super) fn metadata_if_connected(&self, timeout: Duration) -> Result<Metadata, Code> {
        match self.metadata(Duration::ZERO) {
            // A broker is connected, and needs more time than none.
            Err(Code::OperationTimedOut | Code::TimedOutQueue) => self.metadata(timeout),
            result => result,
        }
    }
}
