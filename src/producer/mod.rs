//! The producer: one owner of librdkafka's client, its threads and everything that waits for it.
//!
//! A record that is handed to the [`handle`] goes down the [`pipeline`]: to librdkafka at once, or first into the
//! [`backlog`], behind the requests in flight ([`gate`]) or because the queue is full. The [`poller`]'s thread takes the
//! delivery reports and pushes each [`outcome`] into the [`outcome_queue`] of the event loop that waits for it, or settles
//! the [`call`] of a thread that waits without one. The
//! [`supervisor`]'s thread does what the [`connection`] decides: build a client, probe the cluster, answer questions;
//! and in the end the [`shutdown`].

mod backlog;
mod broker_statistics;
mod call;
mod calls;
mod closed;
mod command;
mod completions;
mod connection;
mod core;
mod counters;
mod gate;
mod handle;
mod lines;
mod loops;
mod metrics;
mod outcome;
mod outcome_queue;
mod owned_record;
mod pipeline;
mod poller;
mod recipient;
mod settings;
mod shutdown;
mod status;
mod supervisor;

pub(crate) use call::Call;
pub(crate) use calls::Calls;
pub(crate) use completions::Completions;
pub(crate) use handle::{Gauges, Producer};
pub(crate) use metrics::METRICS;
pub(crate) use outcome::{Answer, EventOutcome, Health, Outcome, StopReport};
pub(crate) use outcome_queue::OutcomeQueue;
pub(crate) use owned_record::LARGE;
pub use owned_record::{LateValue, OwnedRecord};
pub(crate) use pipeline::Accepted;
pub(crate) use settings::Settings;
