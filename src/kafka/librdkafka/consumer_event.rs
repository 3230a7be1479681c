//! What a consumer reports when it is polled.

use std::ffi::{c_void, CStr};
use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::slice;
use super::event::{text, ClientError, Event, RawEvent};
use super::partition::TopicPartition;

/// One event of a consumer's queue.
pub(crate) enum ConsumerEvent {
    /// A record.
    Fetched(FetchedRecord),
    /// The group assigns partitions: call [`super::Consumer::assign`].
    Assigned(Vec<TopicPartition>),
    /// The group takes partitions: call [`super::Consumer::unassign`], and until then nothing is fetched.
    Revoked {
        /// Which ones.
        partitions: Vec<TopicPartition>,
        /// They belong to others already: a commit would be refused.
        are_lost: bool,
    },
    /// A commit ended: librdkafka's code, or the first partition's that has one.
    Committed(Result<(), Code>),
    /// Something is wrong with a broker, or with the consumer as a whole.
    Failed(ClientError),
    /// A line of librdkafka's own log.
    Logged(String),
    /// librdkafka's statistics as JSON (its STATISTICS.md).
    Statistics(String),
    /// A fresh OAUTHBEARER token is due.
    TokenWanted,
}

/// A record as Kafka stores it. It holds personal data, so it has no `Debug`.
pub(crate) struct FetchedRecord {
    /// Where it is stored.
    pub(crate) partition: TopicPartition,
    /// Its place in the partition.
    pub(crate) offset: i64,
    /// Milliseconds since the Unix epoch; 0 for a record without.
    pub(crate) timestamp_ms: i64,
    /// The key.
    pub(crate) key: Option<Vec<u8>>,
    /// The value; none is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    /// Names and values.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Hands out the same name for a topic each time, so that records do not copy it.
#[derive(Default)]
pub(crate) struct PartitionNames(Vec<Arc<str>>);

impl PartitionNames {
    fn topic(&mut self, name: &CStr) -> Arc<str> {
        let name = name.to_string_lossy();
        if let Some(known) = self.0.iter().find(|known| ***known == *name) {
            return Arc::clone(known);
        }
        let topic: Arc<str> = name.into();
        self.0.push(Arc::clone(&topic));
        topic
    }

    /// # Safety
    /// The element belongs to a list that is alive.
    pub(super) unsafe fn partition(&mut self, element: &sys::rd_kafka_topic_partition_t) -> TopicPartition {
        // SAFETY: by the contract above; a topic's name ends with NUL.
        let topic = self.topic(unsafe { CStr::from_ptr(element.topic) });
        TopicPartition { topic, partition: element.partition }
    }
}

impl ConsumerEvent {
    /// None for events of a type that was not asked for.
    pub(super) fn decode(event: RawEvent, names: &mut PartitionNames, are_lost: impl Fn() -> bool) -> Option<Self> {
        // SAFETY: the event is alive; each accessor below is called on the type of event that it documents.
        match unsafe { sys::rd_kafka_event_type(event.as_ptr()) } {
            sys::RD_KAFKA_EVENT_FETCH => {
                // SAFETY: the message lives as long as the event.
                let message = unsafe { sys::rd_kafka_event_message_next(event.as_ptr()).as_ref() }?;
                // SAFETY: as above.
                unsafe { fetched(message, names) }.map(Self::Fetched)
            }
            sys::RD_KAFKA_EVENT_REBALANCE => {
                // SAFETY: the list lives as long as the event.
                let partitions = unsafe { partitions_of(&event, names) };
                match event.error_code() {
                    Code::AssignPartitions => Some(Self::Assigned(partitions)),
                    // An error ends the assignment as well.
                    _ => Some(Self::Revoked { partitions, are_lost: are_lost() }),
                }
            }
            sys::RD_KAFKA_EVENT_OFFSET_COMMIT => {
                // SAFETY: the list lives as long as the event.
                let of_partitions = unsafe { elements(sys::rd_kafka_event_topic_partition_list(event.as_ptr())) };
                let codes = of_partitions.iter().map(|element| element.err.into());
                let failed = std::iter::once(event.error_code()).chain(codes).find(|code| *code != Code::NoError);
                Some(Self::Committed(failed.map_or(Ok(()), Err)))
            }
            _ => match event.decode()? {
                Event::Failed(error) => Some(Self::Failed(error)),
                Event::Logged(line) => Some(Self::Logged(line)),
                Event::Statistics(json) => Some(Self::Statistics(json)),
                Event::TokenWanted => Some(Self::TokenWanted),
                Event::Delivered(_) => None,
            },
        }
    }
}

/// # Safety
/// The event is a rebalance.
unsafe fn partitions_of(event: &RawEvent, names: &mut PartitionNames) -> Vec<TopicPartition> {
    // SAFETY: by the contract above; the list lives as long as the event.
    let elements = unsafe { elements(sys::rd_kafka_event_topic_partition_list(event.as_ptr())) };
    // SAFETY: as above.
    elements.iter().map(|element| unsafe { names.partition(element) }).collect()
}

/// # Safety
/// `list` is null, or lives as long as the slice is used.
pub(super) unsafe fn elements<'a>(
    list: *mut sys::rd_kafka_topic_partition_list_t,
) -> &'a [sys::rd_kafka_topic_partition_t] {
    // SAFETY: by the contract above.
    match unsafe { list.as_ref() } {
        // SAFETY: librdkafka says how many elements there are.
        Some(list) => unsafe { slice(list.elems, list.cnt) },
        None => &[],
    }
}

/// # Safety
/// The message is alive.
unsafe fn fetched(message: &sys::rd_kafka_message_t, names: &mut PartitionNames) -> Option<FetchedRecord> {
    if Code::from(message.err) != Code::NoError {
        return None;
    }
    let mut timestamp_type = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive, and `timestamp_type` is valid to write to.
    let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(message, &raw mut timestamp_type) }.max(0);
    // SAFETY: a fetched message has a topic, whose name ends with NUL.
    let topic = names.topic(unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt)) });
    Some(FetchedRecord {
        partition: TopicPartition { topic, partition: message.partition },
        offset: message.offset,
        timestamp_ms,
        // SAFETY: librdkafka says how many bytes there are.
        key: unsafe { bytes(message.key, message.key_len) },
        // SAFETY: as above.
        value: unsafe { bytes(message.payload, message.len) },
        // SAFETY: the message is alive.
        headers: unsafe { headers_of(message) },
    })
}

/// # Safety
/// `data` is null, or has `length` bytes.
unsafe fn bytes(data: *const c_void, length: usize) -> Option<Vec<u8>> {
    // SAFETY: by the contract above.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) }.to_vec())
}

/// # Safety
/// The message is alive.
unsafe fn headers_of(message: &sys::rd_kafka_message_t) -> Vec<(String, Option<Vec<u8>>)> {
    let mut list = ptr::null_mut();
    // SAFETY: the message is alive; the headers stay its own.
    let code: Code = unsafe { sys::rd_kafka_message_headers(message, &raw mut list) }.into();
    let mut headers = Vec::new();
    if code != Code::NoError {
        return headers;
    }
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list is alive; the three pointers are valid to write to.
        let code: Code =
            unsafe { sys::rd_kafka_header_get_all(list, headers.len(), &raw mut name, &raw mut value, &raw mut size) }
                .into();
        if code != Code::NoError {
            return headers;
        }
        // SAFETY: on success librdkafka set them to a name that ends with NUL and a value of so many bytes.
        headers.push(unsafe { (text(name), bytes(value, size)) });
    }
}
