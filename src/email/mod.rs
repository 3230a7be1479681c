//! The e-mail event: what it is, when it needs no second opinion, and how it looks on the wire.
//!
//! An [`EmailEvent`] asks the e-mail service to send one e-mail: what kind ([`EmailType`]), to whom, with which link.
//! Its value is the JSON that the pure-Python publisher wrote before, byte for byte; what is new, such as the
//! [`EventId`], travels in Kafka headers.
//!
//! **Certain validity.** Whether an event is valid is for its Pydantic model to say, which takes some 50 µs, 20 of
//! them for the address. So the checks here ([`address`], [`name`]) do not validate; they recognise the events that
//! the model is certain to accept unchanged, which nearly all are. `false` never means "invalid", only "let the model
//! decide". A `true` that the model would not have confirmed is a bug; a `false` too many only costs time.
//!
//! This folder knows neither Python nor Kafka.

pub mod address;
pub mod event;
pub mod event_id;
pub mod json;
pub mod name;
pub mod timestamp;

pub use event::{EmailEvent, EmailType};
pub use event_id::{EventId, EventIds};
pub use timestamp::Timestamp;
