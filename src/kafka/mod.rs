//! The Kafka half, which knows no Python.
//!
//! A record is handed to the [`producer::Producer`], which gives it to librdkafka ([`native`]) or lets it wait
//! ([`backlog`]): for the requests in flight, so that batches form ([`gate`]), or for space. A thread of ours
//! ([`polling`]) hears what became of it and puts the [`outcome`] into the queue of the event loop that waits, by way
//! of a [`handover`]. Another one ([`supervisor`]) connects, watches the cluster and closes it all ([`closing`]).

pub mod backlog;
pub mod broker;
pub mod brokers;
pub mod closing;
pub mod delivery;
pub mod error;
mod explanation;
pub mod gate;
pub mod handover;
pub mod health;
pub mod histogram;
pub mod metrics;
pub mod native;
pub mod notice;
pub mod outcome;
mod polling;
pub mod producer;
mod progress;
pub mod record;
pub mod settings;
pub mod statistics;
mod supervisor;
pub mod token;
pub mod trouble;

/// What locks are made of; where loom tries every order of the threads, it has its own.
mod sync {
    pub use std::sync::atomic::{AtomicBool, Ordering};

    pub use parking_lot::Mutex;
}
