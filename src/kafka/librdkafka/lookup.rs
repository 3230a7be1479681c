//! What a client asks about the topics that it uses: whether they exist, and what they take.

use std::ffi::CString;
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{milliseconds, slice, Client, Queue};
use super::event::{text, RawEvent};
use super::topic::{Existence, Topic};

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
            sys::rd_kafka_metadata(self.native_ptr(), 0, topic.handle(), &raw mut metadata, milliseconds(timeout))
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
