//! Servers inside the process, for tests and demos.

mod embedded_broker;

pub(crate) use embedded_broker::{is_made_up, StoredRecord};
pub use embedded_broker::{BrokerError, EmbeddedBroker};
