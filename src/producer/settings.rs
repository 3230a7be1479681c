//! From the configuration of the Python face to librdkafka's properties.
//!
//! Values were validated in Python, once. What is decided here is only how a promise of the package is kept by
//! librdkafka; property names and ranges: librdkafka's CONFIGURATION.md.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use serde::Deserialize;

use crate::kafka::broker_errors::Trouble;
use crate::kafka::failure::{Failure, Kind};

/// librdkafka looks for messages past their deadline once a second.
const TIMEOUT_SCAN: Duration = Duration::from_secs(1);
/// How long a new topic may stay unknown to the brokers before its events fail.
const TOPIC_PROPAGATION: Duration = Duration::from_secs(5);
/// Pause between two statistics of librdkafka's: often enough for a scrape, rare enough to cost nothing.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(5);
/// Longest pause between two attempts to reconnect, so that a returning cluster is noticed within seconds.
const RECONNECT_BACKOFF: Duration = Duration::from_secs(1);

/// The configuration as it crosses the border, one field for each key. It holds secrets: no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Comma-separated `host:port` list.
    pub bootstrap_servers: String,
    /// Name of this client in the brokers' logs and quotas.
    pub client_id: String,
    /// Topic that health looks for.
    pub email_topic: String,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression_type: String,
    /// `all`, `1` or `0`.
    pub acks: String,
    /// 0: never send twice; more: retry until the deadline of the publish.
    pub retries: u32,
    /// Produce requests under way to one broker.
    pub max_in_flight_requests: u32,
    /// Send at once and batch behind the requests in flight, instead of lingering.
    pub adaptive: bool,
    /// Wait for more events before a batch is sent (only when not adaptive).
    pub linger_ms: f64,
    /// Largest batch in bytes (only when not adaptive).
    pub batch_size: u32,
    /// Deadline of one publish.
    pub request_timeout_ms: u64,
    /// Largest event in bytes, key and headers included.
    pub max_request_size: u32,
    /// Events the local queue holds.
    pub queue_max_messages: u32,
    /// Bytes the local queue holds.
    pub queue_max_bytes: u64,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub security_protocol: String,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    pub sasl_mechanism: Option<String>,
    /// SASL user.
    pub sasl_username: Option<String>,
    /// SASL password.
    pub sasl_password: Option<String>,
    /// File of trusted certificates; the system's when absent.
    pub ssl_cafile: Option<String>,
    /// Client certificate.
    pub ssl_certfile: Option<String>,
    /// Client key.
    pub ssl_keyfile: Option<String>,
    /// Password of the client key.
    pub ssl_key_password: Option<String>,
    /// Any librdkafka property; the last word.
    pub producer_options: BTreeMap<String, String>,
    /// Attempts of the first connection.
    pub max_connection_attempts: u32,
    /// First pause between two attempts; doubles.
    pub retry_delay_ms: u64,
    /// Whether a cluster out of reach makes the start fail.
    pub required: bool,
}

impl Settings {
    /// Deadline of one publish.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Values that no message of ours may contain.
    pub fn secrets(&self) -> Vec<String> {
        let options = self.producer_options.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value);
        [&self.sasl_password, &self.ssl_key_password]
            .into_iter()
            .flatten()
            .chain(options)
            .filter(|secret| !secret.is_empty())
            .cloned()
            .collect()
    }

    /// librdkafka's configuration.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Debug);
        self.set_connection(&mut config);
        self.set_security(&mut config);
        self.set_delivery(&mut config);
        self.set_batching(&mut config);
        for (name, value) in &self.producer_options {
            config.set(name, value);
        }
        config
    }

    /// Largest event, and most events in the queue, `producer_options` included.
    pub fn limits(&self) -> Limits {
        let config = self.client_config();
        let number = |property| config.get(property).and_then(|value| value.parse().ok()).unwrap_or(usize::MAX);
        Limits { event_bytes: number("message.max.bytes"), events: number("queue.buffering.max.messages") }
    }

    fn set_connection(&self, config: &mut ClientConfig) {
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("reconnect.backoff.max.ms", RECONNECT_BACKOFF.as_millis().to_string())
            .set("socket.connection.setup.timeout.ms", "10000")
            .set("statistics.interval.ms", STATISTICS_INTERVAL.as_millis().to_string())
            // Brokers close idle connections; that is no news.
            .set("log.connection.close", "false");
    }

    fn set_security(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.security_protocol.to_lowercase());
        if self.security_protocol.ends_with("SSL") {
            // The bundled OpenSSL does not know where this system keeps its certificates; `probe` finds them.
            config.set("ssl.ca.location", self.ssl_cafile.as_deref().unwrap_or("probe"));
        }
        let optional = [
            ("sasl.mechanism", &self.sasl_mechanism),
            ("sasl.username", &self.sasl_username),
            ("sasl.password", &self.sasl_password),
            ("ssl.certificate.location", &self.ssl_certfile),
            ("ssl.key.location", &self.ssl_keyfile),
            ("ssl.key.password", &self.ssl_key_password),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                config.set(name, value);
            }
        }
    }

    fn set_delivery(&self, config: &mut ClientConfig) {
        let deadline = self.deadline();
        // The scan may come a second late; the caller's deadline must not.
        let message_timeout = deadline.saturating_sub(TIMEOUT_SCAN.min(deadline / 2));
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
            .set("topic.metadata.propagation.max.ms", TOPIC_PROPAGATION.min(deadline / 2).as_millis().to_string())
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
}

/// What librdkafka's queue takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one event, as [`crate::kafka::librdkafka::record::Record::wire_size`] counts them.
    pub event_bytes: usize,
    /// Events in it.
    pub events: usize,
}

/// Whether a librdkafka property of this name holds a secret. The Python face has the same list.
fn is_secret(property: &str) -> bool {
    ["password", "secret", "token", "credential", "jaas", "oauthbearer.config", "key.pem", "keystore", "api.key"]
        .iter()
        .any(|word| property.to_lowercase().contains(word))
}

/// Why librdkafka refuses a configuration, without the values: one of them may be a secret.
pub fn refusal(error: &KafkaError, settings: &Settings, trouble: &Trouble) -> Failure {
    use rdkafka::types::RDKafkaConfRes::{RD_KAFKA_CONF_INVALID, RD_KAFKA_CONF_UNKNOWN};
    let message = match error {
        KafkaError::ClientConfig(RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
            format!("producer_options: librdkafka has no property {name:?}; see its CONFIGURATION.md")
        }
        KafkaError::ClientConfig(RD_KAFKA_CONF_INVALID, _, name, _) => {
            format!("librdkafka refuses the value of {name:?}; see its CONFIGURATION.md")
        }
        KafkaError::ClientCreation(reason) => {
            // Whatever a value that does not work was meant to be; one or two characters are no secret.
            let values = settings.producer_options.values().filter(|value| value.len() > 2);
            let reason = values.fold(trouble.clean(reason), |reason, value| reason.replace(value, "[value]"));
            format!("librdkafka refuses the configuration: {reason}")
        }
        _ => "librdkafka refuses the configuration".into(),
    };
    Failure::new(Kind::CONFIGURATION, message)
}
