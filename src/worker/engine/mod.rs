//! The heart of the worker: a state machine without I/O, threads or a clock.
//!
//! What happened goes in as an [`Input`] with the time; what has to be done comes out as [`Action`]s, which the shell
//! performs. ARCHITECTURE.md shows the states of a record and every arrow between them.

pub mod action;
pub mod attempt;
pub mod breaker;
pub mod commits;
pub mod dead_letter;
pub mod delivered;
pub mod done_set;
pub mod drain;
#[allow(clippy::module_inception)]
pub mod engine;
mod engine_assignments;
mod engine_attempts;
mod engine_lives;
mod engine_releases;
mod engine_schedule;
pub mod identity;
pub mod input;
pub mod lane;
pub mod life;
pub mod limits;
pub mod notice;
pub mod partition;
pub mod permit;
pub mod rate;
pub mod reason;
pub mod record;
pub mod refusals;
pub mod retry;
pub mod run_lengths;
#[cfg(test)]
mod tests;
pub mod timers;
pub mod verdict;
pub mod watch;

pub use action::Action;
pub use engine::Engine;
pub use input::{Input, Now};
pub use limits::Limits;
pub use notice::Notice;
