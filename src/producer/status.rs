//! What the caller of an event is told when it fails: what happened, to which thing, what to do.

use std::sync::atomic::Ordering;

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::kafka::failure::{Class, Failure, Kind};
use crate::kafka::librdkafka::record::Record;
use crate::producer::handle::Shared;

impl Shared {
    /// What the caller of a refused record gets.
    pub fn refusal(&self, code: Code, record: &Record<'_>) -> Failure {
        if code == Code::MessageSizeTooLarge {
            let size = record.key.len() + record.payload.len();
            let limit = self.settings.max_request_size;
            let message = format!("an event of {size} bytes is larger than max_request_size, {limit} bytes: send less, or raise it here and message.max.bytes on the brokers");
            return Failure::new(Kind::of(code), message);
        }
        self.failure(code, record.topic)
    }

    /// What the caller of an event gets whose failure librdkafka names only by a code.
    pub fn failure(&self, code: Code, topic: &str) -> Failure {
        let kind = match code {
            // Given up with a client that could not go on; nobody asked to stop.
            Code::PurgeQueue | Code::PurgeInflight if !self.is_closing.load(Ordering::Acquire) => Kind::FATAL,
            _ => Kind::of(code),
        };
        if matches!(kind.class, Class::UnknownTopic | Class::Authorization | Class::Fatal) {
            // A look at the cluster finds out when the topic is there, or allowed, since; a dead client is built anew.
            self.alarm.notify_one();
        }
        Failure::new(kind, self.explain(code, kind, topic))
    }

    fn explain(&self, code: Code, kind: Kind, topic: &str) -> String {
        match kind.class {
            Class::Timeout => {
                let deadline = self.settings.request_timeout_ms;
                format!("no acknowledgement within request_timeout_ms={deadline}: {}", self.cause())
            }
            Class::Connection => format!("the connection to the brokers broke: {}", self.cause()),
            Class::UnknownTopic => format!(
                "topic {topic:?} does not exist, and the brokers do not create it: create it, or correct its name"
            ),
            Class::Authorization => {
                format!("the brokers refuse {topic:?} to this client: allow it to write there ({})", kind.code)
            }
            Class::MessageTooLarge => {
                "the brokers refuse an event of this size: send less, or raise message.max.bytes there".into()
            }
            Class::Closed => "the producer stopped before the event was acknowledged".into(),
            Class::Fatal => "librdkafka gave the producer up; a new one is being built: publish again".into(),
            _ => format!("the brokers refuse the event: {code} ({})", kind.code),
        }
    }

    fn cause(&self) -> String {
        let is_new = self.acknowledged_at_ms.load(Ordering::Acquire) == 0;
        let unknown = if is_new && self.has_answered.load(Ordering::Acquire) {
            "the brokers answer, but have not acknowledged any event yet: are their controller and replicas well?"
        } else {
            "no broker reported an error; it may be slow, or unreachable"
        };
        self.trouble.text().unwrap_or_else(|| unknown.to_owned())
    }
}

/// The producer was stopped, or is being stopped.
pub fn closed() -> Failure {
    Failure::new(Kind::CLOSED, "the producer is stopped: call `await kafka_manager.start()` before publishing")
}
