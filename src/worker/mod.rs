//! The delivery worker: consumes the e-mail topics and delivers each mail by SMTP, or passes it to a handler.
//!
//! The heart is [`Engine`], a state machine without I/O, threads or a clock. What happened goes in as an [`Input`] with
//! the time; what has to be done comes out as [`Action`]s, which the shell performs. ARCHITECTURE.md shows the states
//! of a record and every arrow between them.

mod clock;
mod cluster;
mod consumer;
mod dead_letters;
mod delivery;
mod handle;
mod job;
mod kafka_context;
mod kafka_log;
mod news;
mod report;
mod settings;
mod shell;
mod status;
mod topics;
mod undertaker;

pub mod action;
pub mod attempt;
pub mod breaker;
pub mod commits;
pub mod dead_letter;
pub mod delivered;
pub mod done_set;
pub mod drain;
pub mod engine;
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
pub mod timers;
pub mod verdict;
pub mod watch;

pub(crate) use cluster::Cluster;
pub(crate) use dead_letters::{DeadLetters, Fate, Letter, LetterSettings};
pub(crate) use handle::{NotStarted, Worker};
pub(crate) use job::{Answer, Job};
pub(crate) use news::{Ending, Listener, News, Processed};
pub(crate) use report::{Detail, Line};
pub(crate) use settings::Settings;
pub(crate) use status::Snapshot;
pub(crate) use topics::Shape;

pub use action::Action;
pub use engine::Engine;
pub use input::{Input, Now};
pub use limits::Limits;
pub use notice::Notice;
