//! The life of a producer's connection, as a state machine: no I/O, no thread, no clock of its own.
//!
//! What happened goes in as an [`Input`], with a [`View`] of what is known at that moment; what has to be done comes out
//! as [`Action`]s, which the supervisor performs. ARCHITECTURE.md shows the states and every arrow between
//! them, in a drawing that `tests/arrows.rs` makes.

mod backoff;
mod machine;
mod probing;
mod progress;
mod questions;
mod rebuild_log;
mod state;
#[cfg(test)]
mod tests;

pub(super) use machine::Connection;
pub(super) use probing::PROBE_TIMEOUT;
pub(super) use state::{Action, GivesUp, Input, StartPlan, Target, View};
