//! Stores dead letters.

use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use super::engine::dead_letter::DeadLetter;
use super::kafka_context::KafkaContext;

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

    /// Whether Kafka acknowledged the dead letter.
    pub(super) async fn bury(&self, letter: &DeadLetter) -> bool {
        let producer = self.producer.lock().clone();
        let mut record = FutureRecord::<[u8], [u8]>::to(&letter.topic).headers(headers_of(letter));
        record.key = letter.record.key();
        record.payload = letter.record.value();
        let Ok(delivery) = producer.send_result(record) else { return self.fails(&producer) };
        match delivery.await {
            Ok(Ok(_)) => true,
            _ => self.fails(&producer),
        }
    }

    fn fails(&self, producer: &FutureProducer<KafkaContext>) -> bool {
        if producer.client().fatal_error().is_some() {
            if let Ok(fresh) = FutureProducer::from_config_and_context(&self.config, self.context.clone()) {
                *self.producer.lock() = fresh;
            }
        }
        false
    }
}

fn headers_of(letter: &DeadLetter) -> OwnedHeaders {
    letter.headers.iter().fold(OwnedHeaders::new_with_capacity(letter.headers.len()), |headers, (key, value)| {
        headers.insert(Header { key, value: value.as_deref() })
    })
}
