//! The delivery worker: consumes the e-mail topics and delivers each mail by SMTP, or passes it to a handler.
//!
//! The engine decides and owns all state. What is here is the shell around it: the thread of the consumer, attempts at
//! deliveries, dead letters, and what the Python face hears.

pub mod engine;

mod clock;
mod cluster;
mod commands;
mod consumer;
mod dead_letters;
mod delivery;
mod handle;
mod job;
mod kafka_context;
mod kafka_log;
mod message;
mod names;
mod news;
mod partition_ends;
mod polling;
mod produce;
mod report;
mod settings;
mod shell;
mod status;
mod topics;
mod undertaker;

pub(crate) use cluster::Cluster;
pub(crate) use dead_letters::{DeadLetters, Fate, Letter, LetterSettings};
pub(crate) use handle::{NotStarted, Worker};
pub(crate) use job::{Answer, Job};
pub(crate) use news::{Ending, Listener, News, Processed};
pub(crate) use report::{Detail, Line};
pub(crate) use settings::Settings;
pub(crate) use status::Snapshot;
pub(crate) use topics::Shape;
