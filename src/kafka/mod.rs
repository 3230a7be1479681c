//! What a producer and a worker both say about a Kafka cluster: its errors, its health, its lines in the log, and how to
//! connect to it.

pub(crate) mod broker_errors;
pub(crate) mod config_refusal;
pub(crate) mod connection_settings;
pub(crate) mod failure;
pub(crate) mod health;
pub(crate) mod librdkafka;
pub(crate) mod log_line;
pub(crate) mod outage;
