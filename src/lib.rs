//! The native half of the Python package `kafka_email`: a table of contents.
//!
//! `smtp` is the mail client of the delivery worker. ARCHITECTURE.md shows which room may use which. Only `python` knows
//! Python, and it only translates.

pub mod email;
mod handover;
mod kafka;
pub mod mail;
mod monitoring;
mod producer;
mod python;
pub mod smtp;
mod testing;
pub mod worker;

pub use python::_core;

/// What `benches/stages.rs` measures. Nothing else may use it.
#[doc(hidden)]
pub mod stages {
    pub use crate::kafka::librdkafka::{Client, Event, Header, Record};
    pub use crate::producer::{LateValue, OwnedRecord};
    pub use crate::testing::{BrokerError, EmbeddedBroker};
}
