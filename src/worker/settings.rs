//! From the configuration of the Python face to what each part of the worker needs.
//!
//! Python validated the values, once. What is decided here is how librdkafka keeps the worker's promises; property names
//! and ranges: librdkafka's CONFIGURATION.md.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::engine::limits::{Limits, OnUnknown};
use super::engine::rate::Rate;
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::config_refusal::refusal;
use crate::kafka::connection_settings::ConnectionSettings;
use crate::{mail, smtp};

/// How long the group waits for a worker that says nothing.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Records that wait inside librdkafka, for all partitions together.
const LOCAL_QUEUE_KIB: u32 = 16 * 1024;
/// Interval of librdkafka's statistics, which tell how far each partition reaches.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// Time of the dead-letter producer to store one record. The engine then asks for it again.
const DEAD_LETTER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest dead letter: the broker's limit decides.
const LARGEST_DEAD_LETTER: u32 = 1_000_000_000;

/// A field for each key of the Python face's configuration. It holds secrets, so it has no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    connection: ConnectionSettings,
    worker: WorkerSettings,
    /// None: mails go to `mail_folder`.
    smtp: Option<smtp::Settings>,
    /// Such as `14/s`.
    rate_limit: Option<String>,
    /// Templates that come with the package.
    builtin: PathBuf,
    /// Templates that the application named.
    named: Vec<NamedTemplate>,
    /// Event types that have a handler, in the order of their numbers.
    handlers: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerSettings {
    group_id: String,
    topics: Vec<String>,
    from_address: String,
    from_name: Option<String>,
    reply_to: Option<String>,
    envelope_from: String,
    templates: Option<PathBuf>,
    default_language: String,
    concurrency: usize,
    retry_base_s: f64,
    retry_cap_s: f64,
    retry_for_s: f64,
    max_age_s: f64,
    /// `resend` or `dead_letter`.
    on_unknown: String,
    dedup_window: usize,
    drain_timeout_s: f64,
    handler_timeout_s: f64,
    mail_folder: Option<PathBuf>,
    consumer_options: BTreeMap<String, String>,
    /// Values that no text of ours may contain, besides those of the connection.
    secrets: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedTemplate {
    email_type: String,
    html: Option<String>,
    text: Option<String>,
    subject: String,
}

impl Settings {
    /// The topics to consume.
    pub(super) fn topics(&self) -> &[String] {
        &self.worker.topics
    }

    /// The sender of every envelope.
    pub(super) fn envelope_from(&self) -> &str {
        &self.worker.envelope_from
    }

    /// The mail server; none when mails go to a folder.
    pub(super) fn smtp(&self) -> Option<smtp::Settings> {
        self.smtp.clone()
    }

    /// Where mails go instead of a mail server.
    pub(super) fn mail_folder(&self) -> Option<PathBuf> {
        self.worker.mail_folder.clone()
    }

    /// The brokers, for texts.
    pub(super) fn servers(&self) -> &str {
        &self.connection.bootstrap_servers
    }

    /// Values that no text of ours may contain, the longest first.
    pub(super) fn secrets(&self) -> Vec<String> {
        let mut secrets = self.connection.secrets.clone();
        secrets.extend_from_slice(&self.worker.secrets);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// Why librdkafka refuses this configuration, without the values.
    pub(super) fn refusal(&self, error: &KafkaError) -> String {
        let options = ("consumer_options", &self.worker.consumer_options);
        refusal(error, &self.connection, &BrokerErrors::new(self.secrets()), options)
    }

    /// How long one call of a handler may take.
    pub(super) fn handler_timeout(&self) -> Duration {
        seconds(self.worker.handler_timeout_s)
    }

    /// Where templates are.
    pub(super) fn sources(&self) -> mail::Sources {
        let named = |template: &NamedTemplate| mail::Named {
            email_type: template.email_type.clone(),
            html: template.html.clone(),
            text: template.text.clone(),
            subject: template.subject.clone(),
        };
        mail::Sources {
            folder: self.worker.templates.clone(),
            builtin: self.builtin.clone(),
            named: self.named.iter().map(named).collect(),
            default_language: self.worker.default_language.clone(),
        }
    }

    /// Who all mails are from.
    pub(super) fn sender(&self) -> mail::Sender {
        mail::Sender {
            from_address: self.worker.from_address.clone(),
            from_name: self.worker.from_name.clone(),
            reply_to: self.worker.reply_to.clone(),
        }
    }

    /// What the engine decides by.
    pub(super) fn limits(&self) -> Limits {
        let defaults = Limits::new();
        Limits {
            group_id: self.worker.group_id.clone(),
            handlers: self.handlers.iter().map(|name| Arc::from(name.as_str())).collect(),
            concurrency: self.worker.concurrency,
            max_connections: self.smtp.as_ref().map_or(self.worker.concurrency, smtp::Settings::max_connections),
            rate: self.rate_limit.as_deref().and_then(|text| Rate::parse(text).ok()),
            retry_base: seconds(self.worker.retry_base_s),
            retry_cap: seconds(self.worker.retry_cap_s),
            retry_for: seconds(self.worker.retry_for_s),
            max_age: seconds(self.worker.max_age_s),
            on_unknown: if self.worker.on_unknown == "dead_letter" { OnUnknown::DeadLetter } else { OnUnknown::Resend },
            dedup_window: self.worker.dedup_window,
            drain_timeout: seconds(self.worker.drain_timeout_s),
            smtp_deadline: self.smtp.as_ref().map_or(defaults.smtp_deadline, smtp::Settings::longest_delivery),
            handler_deadline: self.handler_timeout() + Duration::from_secs(10),
            ..defaults
        }
    }

    /// librdkafka's configuration of the consumer.
    pub(super) fn consumer_config(&self) -> ClientConfig {
        let mut config = reading(&self.connection);
        config
            .set("group.id", &self.worker.group_id)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
            .set("queued.max.messages.kbytes", LOCAL_QUEUE_KIB.to_string())
            .set("statistics.interval.ms", STATISTICS_INTERVAL.as_millis().to_string());
        for (name, value) in &self.worker.consumer_options {
            config.set(name, value);
        }
        config
    }

    /// librdkafka's configuration of the producer of dead letters.
    pub(super) fn producer_config(&self) -> ClientConfig {
        storing(&self.connection)
    }
}

/// librdkafka's configuration of a consumer whose owner commits.
pub(super) fn reading(connection: &ConnectionSettings) -> ClientConfig {
    let mut config = connection.client_config();
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest");
    config
}

/// librdkafka's configuration of a producer that stores each record once, whatever its size.
pub(super) fn storing(connection: &ConnectionSettings) -> ClientConfig {
    let mut config = connection.client_config();
    config
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", DEAD_LETTER_TIMEOUT.as_millis().to_string())
        .set("message.max.bytes", LARGEST_DEAD_LETTER.to_string());
    config
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)
}
