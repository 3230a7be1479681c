//! Stores dead letters.

use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, Producer};

use super::engine::dead_letter::DeadLetter;
use super::kafka_context::KafkaContext;
use super::produce::produce;
use crate::kafka::librdkafka::{give_to, Code};

/// An idempotent producer, which is made anew when librdkafka gives it up.
pub(super) struct Undertaker {
    config: ClientConfig,
    context: KafkaContext,
    producer: Mutex<FutureProducer<KafkaContext>>,
}

impl Undertaker {
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(super) fn new(config: ClientConfig, context: KafkaContext) -> Result<Self, KafkaError> {
        let producer = FutureProducer::from_config_and_context(&config, context.clone())?;
        Ok(Self { config, context, producer: Mutex::new(producer) })
    }

    /// Waits until Kafka has acknowledged the dead letter.
    ///
    /// # Errors
    /// Why it did not.
    pub(super) async fn bury(&self, letter: &DeadLetter) -> Result<(), Code> {
        let producer = self.producer.lock().clone();
        let (key, value) = (letter.record.key(), letter.record.value());
        let result = produce(&producer, &letter.topic, key, value, &letter.headers).await;
        if result.is_err() && producer.client().fatal_error().is_some() {
            if let Ok(fresh) = FutureProducer::from_config_and_context(&self.config, self.context.clone()) {
                *self.producer.lock() = fresh;
            }
        }
        result
    }

    /// Uses the token that the application supplied last.
    pub(super) fn renew_token(&self) {
        give_to(self.producer.lock().client(), self.context.token());
    }
}
