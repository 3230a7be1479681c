//! What the worker tells the Python face, in the order in which it happened.

use super::engine::action::DrainReport;
use super::job::Job;
use super::report::Line;

/// One piece of news.
pub(crate) enum News {
    /// A line for the log.
    Line(Line),
    /// The worker is at work, or waits for Kafka or the mail server to be.
    Started,
    /// A handler has to be called.
    Call(Box<Job>),
    /// Nobody waits for the result of this call any more.
    Cancel(u64),
    /// A record ended, for a span.
    Processed(Box<Processed>),
    /// The last news.
    Ended(Ending),
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By a drain.
    Drained(DrainReport),
    /// A mistake in the configuration was found at the start. The text says what to do.
    Misconfigured(String),
    /// Kafka gave so many fatal errors that going on is no use.
    GaveUp(String),
}

/// One attempt at a record whose publisher traced it.
pub(crate) struct Processed {
    pub(crate) traceparent: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) event_id: Option<String>,
    pub(crate) event_type: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) began_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub(crate) ended_ms: i64,
    /// `delivered`, `failed` and so on: a value of `verdict`, for the span's status.
    pub(crate) outcome: &'static str,
}

/// Where news go. Called from the worker's thread.
pub(crate) trait Listener: Send + Sync {
    /// Never blocks.
    fn tell(&self, news: News);
}
