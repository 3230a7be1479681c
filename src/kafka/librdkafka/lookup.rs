//! What a client asks about the topics that it uses: whether they exist, and what they take.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::broker::Broker;
use super::client::{slice, Client};
use super::event::{text, RawEvent};
use super::topic::{Limit, Topic};

/// When a topic is looked up again that a broker does not have: it may not have heard of a new one yet.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// `max.message.bytes` of topics.
type Limits = HashMap<String, Limit>;

impl Client {
    /// Asks the cluster whether the topics in use exist. Where more of a topic waits than may be queued before its limit is
    /// known, asks for that limit too. Blocks up to `timeout`; returns whether a topic has to be looked up again.
    pub fn look_topics_up(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.look(deadline);
        let is_held = |(_, topic): &(_, Arc<Topic>)| topic.is_missing() && topic.allowance.is_short();
        if self.unknown_topics().iter().any(is_held) {
            // Soon, because the events of other topics wait behind those of this one.
            thread::sleep(SECOND_LOOK);
            self.look(deadline);
        }
        self.has_unknown_topics()
    }

    fn look(&self, deadline: Instant) {
        let unknown = self.unknown_topics();
        if unknown.is_empty() {
            return;
        }
        // Without waiting for a connection.
        let answer = self.metadata_if_connected(deadline.saturating_duration_since(Instant::now())).ok();
        let code = |name: &str| answer.as_ref().and_then(|answer| answer.topics.get(name)).copied();
        let short =
            unknown.iter().filter(|(name, topic)| topic.allowance.is_short() && code(name) == Some(Code::NoError));
        let short: Vec<&str> = short.map(|(name, _)| &**name).collect();
        let limits = answer.as_ref().filter(|_| !short.is_empty()).map_or_else(Limits::new, |answer| {
            self.limits_of(&short, &answer.brokers, deadline.saturating_duration_since(Instant::now()))
        });
        for (name, topic) in &unknown {
            match code(name) {
                Some(Code::NoError) => topic.found(limits.get(&**name).copied().unwrap_or_default()),
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => topic.not_found(),
                _ => topic.not_answered(),
            }
        }
        // What waited for the limit may go.
        self.wake();
    }

    /// Asks the first broker that accepts a connection; without a broker to ask, librdkafka would wait for the controller.
    fn limits_of(&self, topics: &[&str], brokers: &[Broker], timeout: Duration) -> Limits {
        let began = Instant::now();
        let Some(broker) = brokers.iter().find(|broker| broker.accepts_connections(timeout / 2).is_ok()) else {
            return Limits::new();
        };
        let left = timeout.saturating_sub(began.elapsed());
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
        let event = self.ask_broker(broker, operation, left, |client, options, queue| {
            let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            // SAFETY: all are alive; librdkafka copies the resources, which are given back once.
            unsafe {
                let mut resources: Vec<_> =
                    names.iter().map(|name| sys::rd_kafka_ConfigResource_new(kind, name.as_ptr())).collect();
                sys::rd_kafka_DescribeConfigs(client, resources.as_mut_ptr(), resources.len(), options, queue);
                sys::rd_kafka_ConfigResource_destroy_array(resources.as_mut_ptr(), resources.len());
            }
        });
        match event {
            // The broker does not know the request, or nobody may ask: it will not be different next time.
            Ok(event) if is_refusal(event.error_code()) => {
                topics.iter().map(|name| ((*name).into(), Limit::Untold)).collect()
            }
            Ok(event) => described_limits(&event),
            Err(_) => Limits::new(),
        }
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::UnsupportedFeature
            | Code::UnsupportedVersion
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

/// The limits in the result of a `DescribeConfigs` of topics.
fn described_limits(event: &RawEvent) -> Limits {
    let mut limits = Limits::new();
    let (mut count, mut entries_count) = (0, 0);
    // SAFETY: the event is alive; one that holds no such result gives null, and is left alone. The arrays have the lengths
    // given and live as long as the event, as the texts in them do; a value without a text is null.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConfigs_result(event.as_ptr());
        if result.is_null() {
            return limits;
        }
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        for resource in slice(resources, i32::try_from(count).unwrap_or(0)) {
            let name = text(sys::rd_kafka_ConfigResource_name(*resource));
            let code: Code = sys::rd_kafka_ConfigResource_error(*resource).into();
            let entries = sys::rd_kafka_ConfigResource_configs(*resource, &raw mut entries_count);
            let entries = slice(entries, i32::try_from(entries_count).unwrap_or(0));
            let entry =
                entries.iter().find(|entry| text(sys::rd_kafka_ConfigEntry_name(**entry)) == "max.message.bytes");
            let bytes = entry.and_then(|entry| text(sys::rd_kafka_ConfigEntry_value(*entry)).parse().ok());
            if code == Code::NoError || is_refusal(code) {
                limits.insert(name, bytes.map_or(Limit::Untold, Limit::Bytes));
            }
        }
    }
    limits
}
