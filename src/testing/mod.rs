//! Servers inside the process, for tests and demos.

mod embedded_broker;
mod sink;

pub(crate) use embedded_broker::{is_made_up, StoredRecord};
pub use embedded_broker::{BrokerError, EmbeddedBroker};
pub(crate) use sink::{event_id, SinkError, SinkOptions, SmtpSink, Stage};
