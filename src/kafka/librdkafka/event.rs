//! Delivery reports: from librdkafka's answer about a message to the [`Outcome`] that the loop gets.

use std::time::Duration;

use crate::kafka::failure::Failure;
use crate::producer::outcome::{Outcome, Ticket};
use rdkafka::types::RDKafkaErrorCode as Code;

/// Where and when an event was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition; -1 when the broker was not asked for it (`acks=0`).
    pub offset: i64,
    /// Milliseconds since the Unix epoch: creation time, or append time where the topic says so.
    pub timestamp_ms: i64,
}

/// librdkafka's last word on one message.
#[derive(Clone, Debug)]
pub struct DeliveryReport {
    /// Who waits.
    pub ticket: Ticket,
    /// `Code::NoError`, or why it failed.
    pub code: Code,
    /// Where it is stored.
    pub acknowledgement: Acknowledgement,
    /// The topic it was for, if it failed.
    pub topic: Option<String>,
    /// Whether it may be stored although it failed.
    pub maybe_delivered: bool,
    /// How long librdkafka had it.
    pub latency: Duration,
    /// Bytes of key and value.
    pub bytes: usize,
}

impl DeliveryReport {
    /// Whether the event is stored.
    pub fn is_delivered(&self) -> bool {
        self.code == Code::NoError
    }

    /// Whether it was sent to a broker, as far as its end tells.
    pub fn was_sent(&self) -> bool {
        self.maybe_delivered || !matches!(self.code, Code::MessageTimedOut | Code::PurgeQueue | Code::UnknownTopic)
    }

    /// The outcome for the one who waits; `explain` makes a failure of librdkafka's code and the topic.
    pub fn outcome(&self, explain: impl FnOnce(Code, &str) -> Failure) -> Outcome {
        if self.is_delivered() {
            return Outcome::Delivered(self.acknowledgement);
        }
        let failure = explain(self.code, self.topic.as_deref().unwrap_or_default());
        Outcome::Failed(Box::new(failure.maybe_delivered(self.maybe_delivered)))
    }
}
