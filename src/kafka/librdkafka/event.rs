//! What librdkafka reports when it is polled.

use std::ffi::{c_char, CStr};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;

use rdkafka::types::RDKafkaErrorCode as Code;

/// One event of librdkafka's queue.
pub enum Event {
    /// The final outcomes of some messages.
    Delivered(DeliveryReports),
    /// Something is wrong with a broker, or with the client as a whole.
    Failed(ClientError),
    /// A line of librdkafka's own log.
    Logged(String),
    /// librdkafka's statistics as JSON (its STATISTICS.md).
    Statistics(String),
    /// A fresh OAUTHBEARER token is due.
    TokenWanted,
}

/// An error that concerns no single message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// The code. A fatal error has the code of its cause (`rdkafka_event.h`, `rd_kafka_event_error_is_fatal`).
    pub code: Code,
    /// librdkafka's text, which begins with the broker's name where the error is about one.
    pub reason: String,
    /// Whether the client can never be used again.
    pub is_fatal: bool,
}

/// Where and when an event was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition; -1 when the broker was not asked for it (`acks=0`).
    pub offset: i64,
    /// Milliseconds since the Unix epoch: creation time, or append time where the topic is configured so.
    pub timestamp_ms: i64,
}

/// The final outcome of one message.
#[derive(Clone, Debug)]
pub struct DeliveryReport {
    /// What the caller gave to [`super::Client::produce`].
    pub opaque: usize,
    /// `Code::NoError`, or why the message failed.
    pub code: Code,
    /// Where the message is stored, if it is.
    pub acknowledgement: Acknowledgement,
    /// Topic of a message that failed.
    pub topic: Option<String>,
    /// Whether the message may be stored although it failed.
    pub maybe_delivered: bool,
    /// How long librdkafka had the message.
    pub latency: Duration,
    /// Bytes of key and value.
    pub bytes: usize,
}

impl DeliveryReport {
    /// Whether the message is stored.
    pub fn is_delivered(&self) -> bool {
        self.code == Code::NoError
    }

    /// Whether the message timed out before librdkafka knew the partitions of its topic.
    pub(crate) fn never_had_a_partition(&self) -> bool {
        self.code == Code::MessageTimedOut && self.acknowledgement.partition < 0
    }

    /// Whether the message was sent to a broker, as far as the report shows.
    pub(crate) fn was_sent(&self) -> bool {
        self.maybe_delivered || !matches!(self.code, Code::MessageTimedOut | Code::PurgeQueue | Code::UnknownTopic)
    }
}

/// The delivery reports of one batch, read one after the other.
pub struct DeliveryReports(RawEvent);

impl Iterator for DeliveryReports {
    type Item = DeliveryReport;

    fn next(&mut self) -> Option<DeliveryReport> {
        // SAFETY: the event is alive and holds delivery reports; each message lives as long as the event.
        unsafe { sys::rd_kafka_event_message_next(self.0 .0).as_ref() }.map(delivery_report)
    }
}

/// An event of librdkafka that belongs to us.
pub(super) struct RawEvent(*mut sys::rd_kafka_event_t);

impl Drop for RawEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}

impl RawEvent {
    /// # Safety
    /// `event` is null, or an event that nobody else destroys.
    pub(super) unsafe fn take(event: *mut sys::rd_kafka_event_t) -> Option<Self> {
        (!event.is_null()).then_some(Self(event))
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0
    }

    pub(super) fn error_code(&self) -> Code {
        // SAFETY: the event is alive; any type of event may be asked.
        unsafe { sys::rd_kafka_event_error(self.0) }.into()
    }

    /// None for events of a type that was not asked for.
    pub(super) fn decode(self) -> Option<Event> {
        // SAFETY: the event is alive; each accessor below is called on the type of event that it documents, and the
        // texts live as long as the event.
        match unsafe { sys::rd_kafka_event_type(self.0) } {
            sys::RD_KAFKA_EVENT_DR => Some(Event::Delivered(DeliveryReports(self))),
            sys::RD_KAFKA_EVENT_ERROR => Some(Event::Failed(ClientError {
                code: self.error_code(),
                // SAFETY: as above.
                reason: unsafe { text(sys::rd_kafka_event_error_string(self.0)) },
                // SAFETY: as above.
                is_fatal: unsafe { sys::rd_kafka_event_error_is_fatal(self.0) } != 0,
            })),
            sys::RD_KAFKA_EVENT_LOG => self.log_line().map(Event::Logged),
            // SAFETY: as above.
            sys::RD_KAFKA_EVENT_STATS => Some(Event::Statistics(unsafe { text(sys::rd_kafka_event_stats(self.0)) })),
            sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH => Some(Event::TokenWanted),
            _ => None,
        }
    }

    fn log_line(&self) -> Option<String> {
        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is alive and holds a log line; the three pointers are valid to write to.
        let failed = unsafe { sys::rd_kafka_event_log(self.0, &raw mut facility, &raw mut line, &raw mut level) };
        // SAFETY: on success librdkafka set the pointer to a text that lives as long as the event.
        (failed == 0).then(|| unsafe { text(line) })
    }
}

fn delivery_report(message: &sys::rd_kafka_message_t) -> DeliveryReport {
    let mut timestamp_type = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive, and `timestamp_type` is valid to write to.
    let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(message, &raw mut timestamp_type) };
    // SAFETY: the message is alive.
    let status = unsafe { sys::rd_kafka_message_status(message) };
    let code: Code = message.err.into();
    let topic = (code != Code::NoError).then(|| {
        // SAFETY: a produced message has a topic, alive as long as the message, whose name ends with NUL.
        unsafe { text(sys::rd_kafka_topic_name(message.rkt)) }
    });
    DeliveryReport {
        opaque: message._private.addr(),
        code,
        topic,
        acknowledgement: Acknowledgement {
            partition: message.partition,
            // librdkafka marks an unknown offset with a large negative number of its own.
            offset: message.offset.max(-1),
            timestamp_ms,
        },
        // SAFETY: the message is alive.
        latency: known_duration(unsafe { sys::rd_kafka_message_latency(message) }),
        bytes: message.len + message.key_len,
        maybe_delivered: status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED,
    }
}

/// A number of microseconds; librdkafka has -1 for a time that it does not know.
fn known_duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// # Safety
/// `text` is null, or ends with NUL and lives during the call.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}
