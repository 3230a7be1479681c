//! What the engine is configured with.

use std::sync::Arc;
use std::time::Duration;

use super::rate::Rate;

/// The settings that the engine decides by. [`Limits::new`] has the documented defaults.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Consumer group, for the headers of dead letters.
    pub group_id: String,
    /// Event types that have a handler; all others go to SMTP.
    pub handlers: Vec<Arc<str>>,
    /// Records at work at once.
    pub concurrency: usize,
    /// Mails being sent by SMTP at once.
    pub max_connections: usize,
    /// Mails sent by SMTP in a time, by this worker alone.
    pub rate: Option<Rate>,
    /// Longest delay before the first retry; doubles with each failure.
    pub retry_base: Duration,
    /// Longest delay before any retry.
    pub retry_cap: Duration,
    /// How long a record may fail before it becomes a dead letter.
    pub retry_for: Duration,
    /// Age at which a record without `expires-at` is too old.
    pub max_age: Duration,
    /// Whether a mail whose fate is unknown is sent again or buried.
    pub on_unknown: OnUnknown,
    /// How many delivered event ids are remembered.
    pub dedup_window: usize,
    /// How long records at work may take when their partition is revoked or the worker drains.
    pub drain_timeout: Duration,
    /// The sum of the deadlines of an attempt by SMTP; a record that is at work longer is stuck.
    pub smtp_deadline: Duration,
    /// The same of an attempt by a handler.
    pub handler_deadline: Duration,
    /// Bytes of records in memory beyond which partitions pause.
    pub queued_bytes: usize,
    /// Records in memory beyond which partitions pause.
    pub queued_records: usize,
}

/// What happens to a mail that the server may or may not have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is sent again: two mails rather than none.
    Resend,
    /// It becomes a dead letter: no mail rather than two.
    DeadLetter,
}

impl Limits {
    /// The documented defaults.
    pub fn new() -> Self {
        Self {
            group_id: "kafka-email-worker".into(),
            handlers: Vec::new(),
            concurrency: 100,
            max_connections: 10,
            rate: None,
            retry_base: Duration::from_secs(1),
            retry_cap: Duration::from_mins(5),
            retry_for: Duration::from_hours(1),
            max_age: Duration::from_hours(7 * 24),
            on_unknown: OnUnknown::Resend,
            dedup_window: 100_000,
            drain_timeout: Duration::from_secs(25),
            smtp_deadline: Duration::from_mins(20),
            handler_deadline: Duration::from_secs(30),
            queued_bytes: 16 << 20,
            queued_records: 10_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
