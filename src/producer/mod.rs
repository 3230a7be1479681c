//! The producer.

pub mod backlog;
pub mod broker_statistics;
pub mod counters;
pub mod gate;
pub mod handle;
pub mod metrics;
pub mod outcome;
mod poller;
mod progress;
pub mod settings;
pub mod shutdown;
mod status;
mod supervisor;
