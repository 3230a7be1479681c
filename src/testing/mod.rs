//! Servers inside the process, for tests and demos.

mod embedded_broker;

pub(crate) use embedded_broker::{is_made_up, BrokerError, EmbeddedBroker, StoredRecord};
