//! Why librdkafka refuses a configuration, without the values: one of them may be a secret.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes::{RD_KAFKA_CONF_INVALID, RD_KAFKA_CONF_UNKNOWN};

use super::broker_errors::BrokerErrors;
use super::connection_settings::ConnectionSettings;

/// The text, which says what to correct. `options` are the properties that the setting of this name contains.
pub(crate) fn refusal<'a>(
    error: &KafkaError,
    connection: &ConnectionSettings,
    errors: &BrokerErrors,
    (setting, options): (&str, impl IntoIterator<Item = (&'a String, &'a String)>),
) -> String {
    match error {
        KafkaError::ClientConfig(RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
            format!("{setting}: librdkafka has no property {name:?}; see its CONFIGURATION.md")
        }
        KafkaError::ClientConfig(RD_KAFKA_CONF_INVALID, _, name, _) => {
            format!("librdkafka refuses the value of {name:?}; see its CONFIGURATION.md")
        }
        KafkaError::ClientCreation(reason) => {
            // Any value that does not work, whatever it was meant to be; one or two characters are no secret.
            let values = options.into_iter().map(|(_, value)| value).filter(|value| value.len() > 2);
            let reason = values.fold(errors.scrub(reason), |reason, value| reason.replace(value, "[value]"));
            match connection.file_at_fault(&reason) {
                Some((setting, file)) => format!("the file {file:?} of {setting} cannot be used: {reason}"),
                None => format!("librdkafka refuses the configuration: {reason}"),
            }
        }
        _ => "librdkafka refuses the configuration".into(),
    }
}
