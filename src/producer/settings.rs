//! From the configuration of the Python face to librdkafka's properties.
//!
//! Python validated the values, once. What is decided here is only how librdkafka keeps a promise of the package;
//! property names and ranges: librdkafka's CONFIGURATION.md.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::connection::{GivesUp, StartPlan};
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::config_refusal::refusal;
use crate::kafka::connection_settings::ConnectionSettings;
use crate::kafka::failure::{Failure, Kind};

/// librdkafka looks for messages past their deadline once a second.
const TIMEOUT_SCAN: Duration = Duration::from_secs(1);
/// How long a topic may stay unknown to the brokers before librdkafka fails its events. An event should wait for its topic
/// until its own deadline: the cluster may come up, or create the topic, in time. librdkafka reckons in microseconds of
/// 32 bits here, so this is the longest that works.
const TOPIC_PROPAGATION: Duration = Duration::from_mins(35);
/// Interval of librdkafka's statistics: often enough for a scrape, rare enough to cost nothing.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(5);

/// A field for each key of the Python face's configuration. It holds secrets, so it has no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    connection: ConnectionSettings,
    /// Topic that probes look for.
    email_topic: String,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    compression_type: String,
    /// `all`, `1` or `0`.
    acks: String,
    /// 0: never send twice; more: retry until the deadline of the publish.
    retries: u32,
    /// Produce requests in flight to one broker.
    max_in_flight_requests: u32,
    /// Send at once and batch behind the requests in flight, instead of lingering.
    adaptive: bool,
    /// How long a batch waits for more events (only when not adaptive).
    linger_ms: f64,
    /// Largest batch in bytes (only when not adaptive).
    batch_size: u32,
    /// Time limit of one publish.
    request_timeout_ms: u64,
    /// Largest event in bytes, key and headers included.
    max_request_size: u32,
    /// Events that the local queue holds.
    queue_max_messages: u32,
    /// Bytes that the local queue holds.
    queue_max_bytes: u64,
    /// Any librdkafka property; the last word.
    producer_options: BTreeMap<String, String>,
    /// Attempts of the first connection.
    max_connection_attempts: u32,
    /// First pause between two attempts; it doubles.
    retry_delay_ms: u64,
    /// Whether the start fails when the cluster is out of reach.
    required: bool,
    /// Whether the first publish starts it, so that nobody waits for the first connection.
    #[serde(default)]
    by_itself: bool,
}

/// What librdkafka's queue takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of one event, as [`crate::kafka::librdkafka::Record::wire_size`] counts them.
    pub(super) event_bytes: usize,
    /// Events in the queue.
    pub(super) events: usize,
}

impl Settings {
    /// Name of this client, which is the source of its events as well.
    pub(crate) fn client_id(&self) -> &str {
        &self.connection.client_id
    }

    pub(super) fn email_topic(&self) -> &str {
        &self.email_topic
    }

    pub(super) fn is_adaptive(&self) -> bool {
        self.adaptive
    }

    /// From a publish to its deadline.
    pub(super) fn time_limit(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Values that no text of ours may contain.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.connection.secrets.clone()
    }

    pub(super) fn start_plan(&self) -> StartPlan {
        StartPlan {
            servers: self.connection.bootstrap_servers.clone(),
            max_attempts: self.max_connection_attempts,
            retry_delay: Duration::from_millis(self.retry_delay_ms),
            gives_up: match (self.by_itself, self.required) {
                (true, _) => GivesUp::WhenRefused,
                (false, true) => GivesUp::AfterAttempts,
                (false, false) => GivesUp::Never,
            },
        }
    }

    /// librdkafka's configuration.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = self.connection.client_config();
        config.set("statistics.interval.ms", STATISTICS_INTERVAL.as_millis().to_string());
        self.set_delivery(&mut config);
        self.set_batching(&mut config);
        for (name, value) in &self.producer_options {
            config.set(name, value);
        }
        config
    }

    /// Largest event, and most events in the queue, `producer_options` included.
    pub(super) fn limits(&self) -> Limits {
        let config = self.client_config();
        let number = |property| config.get(property).and_then(|value| value.parse().ok()).unwrap_or(usize::MAX);
        // An event that the empty queue has no room for would wait, and stop all others, until its deadline.
        let queue_bytes = number("queue.buffering.max.kbytes").saturating_mul(1024);
        Limits {
            event_bytes: number("message.max.bytes").min(queue_bytes),
            events: number("queue.buffering.max.messages"),
        }
    }

    fn set_delivery(&self, config: &mut ClientConfig) {
        let time_limit = self.time_limit();
        // The scan may come a second late; the caller's deadline must not.
        let message_timeout = time_limit.saturating_sub(TIMEOUT_SCAN.min(time_limit / 2));
        // Retrying ends with the deadline, not with a count that a leader change could use up.
        let retries = if self.retries == 0 { 0 } else { i32::MAX };
        config
            .set("acks", &self.acks)
            .set("message.send.max.retries", retries.to_string())
            .set("max.in.flight.requests.per.connection", self.max_in_flight_requests.to_string())
            .set("enable.idempotence", self.is_idempotent().to_string())
            .set("message.timeout.ms", message_timeout.as_millis().to_string())
            .set("request.timeout.ms", message_timeout.as_millis().min(30_000).to_string())
            .set("message.max.bytes", self.max_request_size.to_string())
            .set("compression.type", &self.compression_type)
            .set("partitioner", "murmur2_random")
            .set("topic.metadata.propagation.max.ms", TOPIC_PROPAGATION.as_millis().to_string())
            .set("queue.buffering.max.messages", self.queue_max_messages.to_string())
            .set("queue.buffering.max.kbytes", self.queue_max_bytes.div_ceil(1024).to_string());
    }

    /// Idempotence keeps the order over retries; it needs every acknowledgement and leave to retry.
    fn is_idempotent(&self) -> bool {
        self.acks == "all" && self.retries > 0
    }

    fn set_batching(&self, config: &mut ClientConfig) {
        if self.adaptive {
            // No timer: events that arrive while requests are in flight leave together with the next one.
            // Keyless events still share a partition for a while, or each batch would be a single event.
            config.set("linger.ms", "0").set("sticky.partitioning.linger.ms", "10");
        } else {
            config.set("linger.ms", self.linger_ms.to_string()).set("batch.size", self.batch_size.to_string());
        }
    }

    /// Why librdkafka refuses this configuration, without the values: one of them may be a secret.
    pub(super) fn refusal(&self, error: &KafkaError, broker_errors: &BrokerErrors) -> Failure {
        let options = ("producer_options", &self.producer_options);
        Failure::new(Kind::CONFIGURATION, refusal(error, &self.connection, broker_errors, options))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    /// The configuration as the Python face hands it over, with some changes.
    pub(crate) fn settings(servers: &str, changes: &serde_json::Value) -> Settings {
        let mut settings = serde_json::json!({
            "connection": {
                "bootstrap_servers": servers, "client_id": "test", "security_protocol": "PLAINTEXT", "secrets": [],
            },
            "email_topic": "events", "compression_type": "gzip", "acks": "all", "retries": 3,
            "max_in_flight_requests": 5, "adaptive": true, "linger_ms": 10.0, "batch_size": 16384,
            "request_timeout_ms": 5000, "max_request_size": 1_048_576, "queue_max_messages": 100_000,
            "queue_max_bytes": 1_048_576, "producer_options": {}, "max_connection_attempts": 1, "retry_delay_ms": 10,
            "required": true,
        });
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(settings).unwrap()
    }

    fn property(changes: &serde_json::Value, name: &str) -> Option<String> {
        settings("a:1", changes).client_config().get(name).map(str::to_owned)
    }

    #[test]
    fn idempotence_needs_every_acknowledgement_and_leave_to_retry() {
        for (acks, retries, idempotent) in [("all", 3, "true"), ("all", 0, "false"), ("1", 3, "false")] {
            let changes = serde_json::json!({"acks": acks, "retries": retries});
            assert_eq!(property(&changes, "enable.idempotence").as_deref(), Some(idempotent), "{acks} {retries}");
        }
    }

    #[test]
    fn librdkafka_gives_up_early_enough_for_the_callers_deadline() {
        for (deadline_ms, message_timeout_ms) in [(30_000, "29000"), (2000, "1000"), (1000, "500")] {
            let changes = serde_json::json!({"request_timeout_ms": deadline_ms});
            assert_eq!(property(&changes, "message.timeout.ms").as_deref(), Some(message_timeout_ms));
        }
    }

    #[test]
    fn options_have_the_last_word_on_properties_and_on_limits() {
        let options = serde_json::json!({"producer_options": {"linger.ms": "7", "message.max.bytes": "2000"}});
        assert_eq!(property(&options, "linger.ms").as_deref(), Some("7"));
        assert_eq!(settings("a:1", &options).limits().event_bytes, 2000);
        let options = serde_json::json!({"producer_options": {"queue.buffering.max.kbytes": "1"}});
        assert_eq!(settings("a:1", &options).limits().event_bytes, 1024, "no more than the queue holds");
    }

    #[test]
    fn a_refusal_names_the_property_and_shows_no_value() {
        let options = serde_json::json!({"producer_options": {"no.such.property": "hunter2"}});
        let settings = settings("a:1", &options);
        let error = settings.client_config().create_native_config().err().unwrap();
        let message = settings.refusal(&error, &BrokerErrors::new(Vec::new())).message;
        assert!(message.contains("no.such.property") && !message.contains("hunter2"), "{message}");
    }
}
