//! The life of one record in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::{Failure, Message, Target, Work};
use super::identity::Place;
use super::lane::LaneId;
use super::limits::Limits;
use super::permit::Ticket;
use super::reason::Reason;
use super::record::Record;

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub enum State {
    /// Records of its lane come before it.
    Queued,
    /// It is the first in its lane, and needs a permit. Without a ticket its partition starts no record at the moment.
    Ready(Option<Ticket>),
    /// An attempt is under way; the record is at work.
    Working {
        /// Since when.
        since: Instant,
        /// Who delivers it.
        target: Target,
    },
    /// It is tried again later.
    Waiting {
        /// When.
        until: Instant,
    },
    /// Its dead letter is produced, again and again until Kafka acknowledges it.
    Burying {
        /// Why it was given up.
        reason: Reason,
        /// How often Kafka did not take the dead letter.
        failures: u32,
    },
    /// It needs nothing any more; the next commit covers it.
    Finished,
}

/// What is known of a record.
pub struct Life {
    record: Arc<Record>,
    lane: LaneId,
    state: State,
    /// The target of its event type.
    target: Target,
    /// When it is too old, in milliseconds since the epoch.
    expires_at_ms: i64,
    /// The mail that its handler composed.
    composed: Option<Message>,
    attempts: u32,
    failing: Option<Failing>,
    first_failed_ms: Option<i64>,
    last_failure: Option<Failure>,
}

/// Since when a record fails.
#[derive(Clone, Copy)]
pub struct Failing {
    /// Since then.
    pub since: Instant,
    /// Whose failure it was.
    pub target: Target,
    /// How long the breaker of that target had been open before.
    pub open_before: Duration,
}

impl Life {
    /// A record that was just fetched.
    pub fn new(record: Arc<Record>, limits: &Limits) -> Self {
        let max_age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
        // Kafka's oldest format has no timestamps; then nothing is known of the age.
        let written_at = Some(record.timestamp_ms()).filter(|at| *at >= 0);
        let age_limit = written_at.map_or(i64::MAX, |at| at.saturating_add(max_age));
        let handler = limits.handlers.iter().position(|event_type| event_type == record.event_type());
        Self {
            lane: LaneId::of(&record),
            expires_at_ms: record.expires_at_ms().unwrap_or(age_limit),
            record,
            state: State::Queued,
            target: handler.map_or(Target::Smtp, Target::Handler),
            composed: None,
            attempts: 0,
            failing: None,
            first_failed_ms: None,
            last_failure: None,
        }
    }

    /// The record.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Its lane.
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Moves on to another state, and returns the one before.
    pub fn enter(&mut self, state: State) -> State {
        std::mem::replace(&mut self.state, state)
    }

    /// Who has to take it next.
    pub fn target(&self) -> Target {
        if self.composed.is_some() {
            Target::Smtp
        } else {
            self.target
        }
    }

    /// What the next attempt has to do.
    pub fn work(&self) -> Work {
        match (&self.composed, self.target) {
            (Some(message), _) => Work::Send(message.clone()),
            (None, Target::Handler(place)) => Work::Handle(place),
            (None, Target::Smtp) => Work::Mail,
        }
    }

    /// Its handler composed a mail.
    pub fn compose(&mut self, message: Message) {
        self.composed = Some(message);
    }

    /// Forgets the mail that its handler composed, and returns the handler if there was one.
    pub fn forget_message(&mut self) -> Option<usize> {
        match (self.composed.take(), self.target) {
            (Some(_), Target::Handler(place)) => Some(place),
            _ => None,
        }
    }

    /// Attempts that ended, but server-wide failures.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// An attempt ended that counts.
    pub fn count_attempt(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    /// An attempt failed.
    pub fn note_failure(&mut self, failure: Failure, unix_ms: i64) {
        self.first_failed_ms.get_or_insert(unix_ms);
        self.last_failure = Some(failure);
    }

    /// The first failure from which `retry_for` runs.
    pub fn failing(&self) -> Option<Failing> {
        self.failing
    }

    /// A failure from which `retry_for` runs, unless it runs already.
    pub fn begin_failing(&mut self, failing: Failing) {
        self.failing.get_or_insert(failing);
    }

    /// When an attempt failed first, in milliseconds since the epoch.
    pub fn first_failed_ms(&self) -> Option<i64> {
        self.first_failed_ms
    }

    /// How the last attempt failed.
    pub fn last_failure(&self) -> Option<Failure> {
        self.last_failure
    }

    /// When it is too old, in milliseconds since the epoch.
    pub fn expires_at_ms(&self) -> i64 {
        self.expires_at_ms
    }

    /// Where it is, for the log.
    pub fn place(&self) -> Place {
        self.record.place()
    }
}
