//! Makes sure that the topics exist, those of dead letters included.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, Producer};

use super::engine::dead_letter::dead_letter_topic;
use super::kafka_context::KafkaContext;
use crate::kafka::librdkafka::{give_to, Code};

/// Let the brokers decide (KIP-464, brokers from 2.4 on).
const BROKERS_DEFAULT: i32 = -1;

/// Why there is a topic that does not exist, or may not.
pub(super) enum Trouble {
    /// The cluster could not be asked.
    Unreachable(Code),
    /// It is missing and cannot be created. The text says what to do.
    Missing(String),
}

/// How a topic is created.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Number of partitions.
    pub(crate) partitions: i32,
    /// Replicas of each partition.
    pub(crate) replication: i32,
}

impl Shape {
    /// The brokers decide.
    pub(crate) const DEFAULT: Self = Self { partitions: BROKERS_DEFAULT, replication: BROKERS_DEFAULT };
}

/// Asks a cluster about its topics.
pub(super) struct Topics {
    /// The thread of a producer hears what is wrong with the brokers; that of an admin client does not.
    producer: FutureProducer<KafkaContext>,
    config: ClientConfig,
    context: KafkaContext,
    timeout: Duration,
}

impl Topics {
    /// `timeout` is for each question.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(super) fn new(config: &ClientConfig, context: KafkaContext, timeout: Duration) -> Result<Self, KafkaError> {
        let producer = FutureProducer::from_config_and_context(config, context.clone())?;
        Ok(Self { producer, config: config.clone(), context, timeout })
    }

    /// Those of `topics` and their dead-letter topics that do not exist.
    ///
    /// # Errors
    /// When nobody knows.
    pub(super) fn missing(&self, topics: &[String]) -> Result<Vec<String>, Trouble> {
        let mut missing = Vec::new();
        for topic in topics.iter().flat_map(|topic| [topic.clone(), dead_letter_topic(topic)]) {
            if !self.exists(&topic)? {
                missing.push(topic);
            }
        }
        Ok(missing)
    }

    /// Creates topics, and returns those that nobody else had created meanwhile.
    ///
    /// # Errors
    /// When one is missing afterwards, or nobody knows.
    pub(super) fn create(&self, missing: &[String], shape: Shape) -> Result<Vec<String>, Trouble> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let replication = || TopicReplication::Fixed(shape.replication);
        let new: Vec<_> = missing.iter().map(|topic| NewTopic::new(topic, shape.partitions, replication())).collect();
        let options = AdminOptions::new().operation_timeout(Some(self.timeout)).request_timeout(Some(self.timeout));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|_| Trouble::Unreachable(Code::CriticalSystemResource))?;
        let admin = self.admin().map_err(|error| unreachable_by(&error))?;
        let results = runtime.block_on(admin.create_topics(&new, &options)).map_err(|error| unreachable_by(&error))?;
        let (created, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        match refused.into_iter().filter_map(Result::err).find(|(_, code)| *code != Code::TopicAlreadyExists) {
            None => Ok(created.into_iter().filter_map(Result::ok).collect()),
            Some((topic, code)) => Err(Trouble::Missing(format!(
                "topic {topic} does not exist and cannot be created ({code}): create it, or grant Create on it"
            ))),
        }
    }

    fn admin(&self) -> Result<AdminClient<KafkaContext>, KafkaError> {
        let admin = AdminClient::from_config_and_context(&self.config, self.context.clone())?;
        if self.config.get("sasl.mechanism") == Some("OAUTHBEARER") {
            give_to(admin.inner(), self.context.token());
        }
        Ok(admin)
    }

    fn exists(&self, topic: &str) -> Result<bool, Trouble> {
        let metadata =
            self.producer.client().fetch_metadata(Some(topic), self.timeout).map_err(|error| unreachable_by(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.and_then(rdkafka::metadata::MetadataTopic::error).map(Code::from) {
            None => Ok(found.is_some()),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(false),
            // It exists, or will in a moment.
            Some(Code::LeaderNotAvailable) => Ok(true),
            Some(code) => Err(Trouble::Missing(format!("cannot look up topic {topic}: {code}; grant Describe on it"))),
        }
    }
}

/// Creates those of `topics` and their dead-letter topics that do not exist. Blocks up to some times `timeout`.
///
/// # Errors
/// When one is missing afterwards, or nobody knows.
pub(super) fn ensure(
    config: &ClientConfig,
    context: KafkaContext,
    topics: &[String],
    timeout: Duration,
) -> Result<(), Trouble> {
    let cluster = Topics::new(config, context, timeout).map_err(|error| unreachable_by(&error))?;
    cluster.create(&cluster.missing(topics)?, Shape::DEFAULT).map(drop)
}

fn unreachable_by(error: &KafkaError) -> Trouble {
    Trouble::Unreachable(error.rdkafka_error_code().unwrap_or(Code::BrokerTransportFailure))
}
