//! Stores one record as it is: a dead letter, or a letter that is replayed.

use rdkafka::error::KafkaError;
use rdkafka::message::{Header as RawHeader, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::engine::record::Header;
use super::kafka_context::KafkaContext;
use crate::kafka::librdkafka::Code;

/// Waits until Kafka has acknowledged the record.
///
/// # Errors
/// Why it did not.
pub(super) async fn produce(
    producer: &FutureProducer<KafkaContext>,
    topic: &str,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header],
) -> Result<(), Code> {
    let raw = OwnedHeaders::new_with_capacity(headers.len());
    let raw = headers.iter().fold(raw, |raw, (key, value)| raw.insert(RawHeader { key, value: value.as_deref() }));
    let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(raw);
    (record.key, record.payload) = (key, value);
    let delivery = producer.send_result(record).map_err(|(error, _)| code_of(&error))?;
    match delivery.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(code_of(&error)),
        // The producer ended before it knew.
        Err(_) => Err(Code::BrokerDestroy),
    }
}

fn code_of(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Unknown)
}
