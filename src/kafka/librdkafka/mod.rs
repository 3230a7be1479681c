//! librdkafka itself: every raw call, and so every `unsafe` block of the crate.
//!
//! A [`Client`] takes [`Record`]s and gives [`Event`]s back when it is polled: delivery reports, errors, log lines. It
//! knows nothing of what lies above. What the caller wants to find again in a delivery report travels with the record
//! as a plain `usize`, the message's opaque pointer, which is never followed.

#![allow(unsafe_code)]

mod admin;
mod broker;
mod client;
mod code;
mod consumer;
mod consumer_event;
mod event;
mod lookup;
mod metadata;
mod partition;
mod probe;
mod record;
#[cfg(unix)]
mod resolver;
mod token;
mod topic;

pub(crate) use broker::{Broker, Silence};
pub use client::Client;
pub(crate) use client::Refused;
pub(crate) use code::{name_of, Code};
pub(crate) use consumer::Consumer;
pub(crate) use consumer_event::{ConsumerEvent, FetchedRecord, PartitionNames};
pub use event::Event;
pub(crate) use event::{Acknowledgement, ClientError, DeliveryReport, DeliveryReports};
pub(crate) use partition::{Position, TopicPartition};
pub use record::{Header, Record};
pub(crate) use token::{give_to, LatestToken, Token};
