//! What a client asks about the topics that it uses: whether they exist, and what they take.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{milliseconds, slice, Client, Queue};
use super::event::{text, RawEvent};
use super::probe::Broker;
use super::topic::Existence;

/// What the brokers say of the topics in use.
struct Answer {
    topics: HashMap<String, Code>,
    brokers: Vec<Broker>,
}

/// `max.message.bytes` of topics; None where the client may not know it, which takes the right `DescribeConfigs`.
type Limits = HashMap<String, Option<usize>>;

impl Client {
    /// Asks the cluster whether topics exist, and what those take of which much is published at once; blocks up to `timeout`.
    /// Returns whether some are left.
    pub fn look_topics_up(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let unknown = self.unknown_topics();
        if unknown.is_empty() {
            return false;
        }
        let answer = self.ask_about_topics(timeout);
        let code = |name: &str| answer.as_ref().and_then(|answer| answer.topics.get(name)).copied();
        let short =
            unknown.iter().filter(|(name, topic)| topic.allowance.is_short() && code(name) == Some(Code::NoError));
        let short: Vec<&str> = short.map(|(name, _)| &**name).collect();
        let limits = answer.as_ref().filter(|_| !short.is_empty()).map_or_else(Limits::new, |answer| {
            self.limits_of(&short, &answer.brokers, deadline.saturating_duration_since(Instant::now()))
        });
        for (name, topic) in &unknown {
            topic.set_existence(match code(name) {
                Some(Code::NoError) => Existence::Exists,
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Existence::Missing,
                _ => Existence::Unknown,
            });
            // Without an answer nothing is held back: it may never come.
            if topic.allowance.is_short() {
                topic.allowance.set_limit(limits.get(&**name).copied().flatten());
            }
        }
        // What waited for the limit may go.
        self.wake();
        !self.unknown_topics().is_empty()
    }

    /// Lets everything through of topics that cannot be looked up now.
    pub(crate) fn limit_no_unknown_topic(&self) {
        self.unknown_topics().iter().for_each(|(_, topic)| topic.allowance.set_limit(None));
    }

    /// Does not wait for a connection, as [`Client::probe_connected`].
    fn ask_about_topics(&self, timeout: Duration) -> Option<Answer> {
        match self.topics_and_brokers(Duration::ZERO) {
            Err(Code::OperationTimedOut | Code::TimedOutQueue) => self.topics_and_brokers(timeout).ok(),
            answer => answer.ok(),
        }
    }

    fn topics_and_brokers(&self, timeout: Duration) -> Result<Answer, Code> {
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; `metadata` is valid to write to, and given back below.
        let code: Code = unsafe {
            sys::rd_kafka_metadata(self.native_ptr(), 0, ptr::null_mut(), &raw mut metadata, milliseconds(timeout))
        }
        .into();
        if code != Code::NoError {
            return Err(code);
        }
        // SAFETY: on success librdkafka set the pointer to a metadata structure that is ours, whose arrays have the
        // lengths given and whose texts end with NUL; it is given back once, and nothing borrowed from it is left.
        let answer = unsafe {
            let topics = slice((*metadata).topics, (*metadata).topic_cnt);
            let brokers = slice((*metadata).brokers, (*metadata).broker_cnt);
            let broker =
                |broker: &sys::rd_kafka_metadata_broker| Broker::new(broker.id, text(broker.host), broker.port);
            Answer {
                topics: topics.iter().map(|topic| (text(topic.topic), topic.err.into())).collect(),
                brokers: brokers.iter().map(broker).collect(),
            }
        };
        // SAFETY: as above.
        unsafe { sys::rd_kafka_metadata_destroy(metadata) };
        Ok(answer)
    }

    /// Asks the first broker that accepts a connection; without a broker to ask, librdkafka would wait for the controller.
    fn limits_of(&self, topics: &[&str], brokers: &[Broker], timeout: Duration) -> Limits {
        let began = Instant::now();
        let Some(broker) = brokers.iter().find(|broker| broker.accepts_connections(timeout / 2).is_ok()) else {
            return Limits::new();
        };
        let wait = milliseconds(timeout.saturating_sub(began.elapsed())).max(1);
        let client = self.native_ptr();
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped.
        let queue = Queue(unsafe { sys::rd_kafka_queue_new(client) });
        // SAFETY: client and queue are alive; librdkafka copies resources and options, each of which is given back once,
        // and describes no refusal where there is no room for a text; the event is ours.
        let event = unsafe {
            let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            let mut resources: Vec<_> =
                names.iter().map(|name| sys::rd_kafka_ConfigResource_new(kind, name.as_ptr())).collect();
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_broker(options, broker.number, ptr::null_mut(), 0);
            sys::rd_kafka_DescribeConfigs(client, resources.as_mut_ptr(), resources.len(), options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_ConfigResource_destroy_array(resources.as_mut_ptr(), resources.len());
            RawEvent::take(sys::rd_kafka_queue_poll(queue.0, wait))
        };
        match event {
            // The broker does not know the request, or nobody may ask: it will not be different next time.
            Some(event) if is_refusal(event.error_code()) => topics.iter().map(|name| ((*name).into(), None)).collect(),
            Some(event) => described_limits(&event),
            None => Limits::new(),
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
            let limit = entry.and_then(|entry| text(sys::rd_kafka_ConfigEntry_value(*entry)).parse().ok());
            if code == Code::NoError || is_refusal(code) {
                limits.insert(name, limit);
            }
        }
    }
    limits
}
