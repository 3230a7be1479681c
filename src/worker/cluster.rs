//! A Kafka cluster, as the tools of the command line use it: each call connects anew, and says what is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::kafka_context::KafkaContext;
use super::settings::storing;
use super::topics::{Shape, Topics, Trouble};
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::config_refusal::refusal;
use crate::kafka::connection_settings::ConnectionSettings;
use crate::kafka::failure::{Failure, Kind};
use crate::kafka::librdkafka::{Code, LatestToken, Token};

/// How to reach the cluster. It holds secrets, so it has no `Debug`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Cluster {
    pub(super) connection: ConnectionSettings,
}

impl Cluster {
    /// Those of `topics` and their dead-letter topics that do not exist; with a `shape`, those that were created so. Blocks up to some times `timeout`.
    ///
    /// # Errors
    /// When the cluster does not answer, or a topic can be neither found nor created.
    pub(crate) fn missing_topics(
        &self,
        token: Option<Token>,
        topics: &[String],
        shape: Option<Shape>,
        timeout: Duration,
    ) -> Result<Vec<String>, Failure> {
        let errors = self.errors();
        let context = KafkaContext::noting(Arc::new(LatestToken::new(token)), Arc::clone(&errors));
        let mut config = storing(&self.connection);
        // To ask for a topic would create it otherwise, in the brokers' shape.
        config.set("allow.auto.create.topics", "false");
        let cluster =
            Topics::new(&config, context, timeout).map_err(|error| self.refusal(&error, &errors, &BTreeMap::new()))?;
        let ask = || {
            let missing = cluster.missing(topics)?;
            match shape {
                // A broker may not show yet what it has just created.
                Some(shape) => cluster.create(&missing, shape),
                None => Ok(missing),
            }
        };
        ask().map_err(|trouble| match trouble {
            Trouble::Missing(text) => Failure::new(Kind::of(Code::UnknownTopic), text),
            Trouble::Unreachable(code) => self.failure(code, &errors),
        })
    }

    /// A place for what is wrong with each broker.
    pub(super) fn errors(&self) -> Arc<BrokerErrors> {
        Arc::new(BrokerErrors::new(self.connection.secrets.clone()))
    }

    /// Why librdkafka refuses a client; `options` are those of the consumer.
    pub(super) fn refusal(
        &self,
        error: &KafkaError,
        errors: &BrokerErrors,
        options: &BTreeMap<String, String>,
    ) -> Failure {
        let text = refusal(error, &self.connection, errors, ("consumer_options", options));
        Failure::new(Kind::CONFIGURATION, text)
    }

    /// What a question failed with.
    pub(super) fn failure(&self, code: Code, errors: &BrokerErrors) -> Failure {
        match Kind::of(code) {
            Kind::NETWORK | Kind::TIMEOUT | Kind::TLS => {
                errors.start_failure(&self.connection.bootstrap_servers, 1, Instant::now())
            }
            kind => Failure::new(kind, format!("Kafka at {} refuses: {code}", self.connection.bootstrap_servers)),
        }
    }
}
