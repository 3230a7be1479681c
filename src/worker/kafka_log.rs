//! What the log says about Kafka itself.

use std::collections::HashMap;
use std::time::Instant;

use super::report::Line;
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::librdkafka::{ClientError, Code};
use crate::kafka::outage::{Outage, REPEAT};

/// The errors of brokers, and the outage that they may be.
pub(super) struct KafkaLog {
    errors: BrokerErrors,
    outage: Outage,
    /// When each refusal was logged last, by its code.
    refused: HashMap<i32, Instant>,
    logs_librdkafka: bool,
}

impl KafkaLog {
    /// No text will ever contain one of `secrets`, the longest of which come first.
    pub(super) fn new(secrets: Vec<String>, logs_librdkafka: bool) -> Self {
        Self { errors: BrokerErrors::new(secrets), outage: Outage::default(), refused: HashMap::new(), logs_librdkafka }
    }

    /// Something is wrong with a broker or with the consumer; returns a line when one is due.
    pub(super) fn failed(&mut self, error: &ClientError, now: Instant) -> Option<Line> {
        if error.is_fatal {
            let reason = self.errors.scrub(&error.reason);
            return Some(Line::error(
                "consumer_lost",
                format!("librdkafka gave its consumer up, a new one is built: {reason}"),
            ));
        }
        self.errors.note(error.code, &error.reason, now);
        match error.code {
            Code::AllBrokersDown => {
                let cause = self.errors.text(now).unwrap_or_else(|| "no broker answers".into());
                self.unreachable(&cause, now)
            }
            Code::UnknownTopicOrPartition
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed => {
                let is_due = |logged: &Instant| now.saturating_duration_since(*logged) >= REPEAT;
                if !self.refused.get(&(error.code as i32)).is_none_or(is_due) {
                    return None;
                }
                self.refused.insert(error.code as i32, now);
                let reason = self.errors.scrub(&error.reason);
                Some(Line::error("kafka_refused", format!("Kafka refuses the worker: {reason}")))
            }
            _ => None,
        }
    }

    /// Kafka does not answer; returns a line when one is due.
    pub(super) fn unreachable(&mut self, cause: &str, now: Instant) -> Option<Line> {
        self.outage.continues(cause, now).map(|line| Line::error(line.event.name(), line.message))
    }

    /// The group's coordinator answers.
    pub(super) fn recovered(&mut self, now: Instant) -> Option<Line> {
        self.errors.clear();
        self.outage.ends(now).map(|line| Line::info(line.event.name(), line.message))
    }

    pub(super) fn logged(&self, line: &str) -> Option<Line> {
        self.logs_librdkafka.then(|| Line::debug("librdkafka", self.errors.scrub(line)))
    }

    pub(super) fn gave_up(&self, error: &ClientError) -> String {
        let reason = self.errors.scrub(&error.reason);
        format!("librdkafka gave six consumers up within ten minutes, the last one because of: {reason}")
    }
}
