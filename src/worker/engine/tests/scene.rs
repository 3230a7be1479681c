//! A worker with one partition, for tests that tell a story.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::smtp::{Reply, Stage};
use crate::worker::engine::action::{Action, CommitId, DrainReport, Position};
use crate::worker::engine::attempt::{AttemptResult, Failure, SmtpCause, Work};
use crate::worker::engine::dead_letter::DeadLetter;
use crate::worker::engine::identity::{Generation, PartitionId, RecordId};
use crate::worker::engine::input::{Committed, Input, Now};
use crate::worker::engine::limits::Limits;
use crate::worker::engine::notice::Notice;
use crate::worker::engine::record::{Parts, Record};
use crate::worker::engine::Engine;

/// Milliseconds since the epoch at the begin of each scene.
pub(super) const BEGAN_MS: i64 = 1_800_000_000_000;

pub(super) struct Scene {
    pub(super) engine: Engine,
    pub(super) now: Now,
    /// Actions since the last look, but log lines.
    actions: Vec<Action>,
    notices: Vec<Notice>,
    next_offset: i64,
}

pub(super) fn limits() -> Limits {
    Limits { handlers: vec![Arc::from("invoice")], ..Limits::new() }
}

pub(super) fn partition() -> PartitionId {
    PartitionId::new(Arc::from("mails"), 0)
}

pub(super) fn id(offset: i64) -> RecordId {
    RecordId { generation: Generation(1), offset }
}

pub(super) fn header(name: &str, value: &str) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

pub(super) fn refused(stage: Stage, code: u16) -> AttemptResult {
    failed(stage, SmtpCause::Refused(Reply::new(code, Some((5, 1, 1)))))
}

pub(super) fn failed(stage: Stage, cause: SmtpCause) -> AttemptResult {
    AttemptResult::Failed(Failure::Smtp { stage, cause, is_after_terminator: false })
}

pub(super) fn lost_reply() -> AttemptResult {
    AttemptResult::Failed(Failure::Smtp { stage: Stage::Dot, cause: SmtpCause::Closed, is_after_terminator: true })
}

pub(super) fn no_server() -> AttemptResult {
    failed(Stage::Connect, SmtpCause::Closed)
}

pub(super) fn greylisted() -> AttemptResult {
    refused(Stage::Rcpt, 450)
}

impl Scene {
    /// The partition is assigned, and nothing was committed yet.
    pub(super) fn new() -> Self {
        Self::with(limits())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let mut scene = Self::before_assignment(limits);
        scene.input(Input::Assigned(vec![(partition(), Generation(1))]));
        scene.input(Input::CommittedRead(Generation(1), Some(Committed::default())));
        scene.actions.clear();
        scene
    }

    pub(super) fn before_assignment(limits: Limits) -> Self {
        let now = Now { instant: Instant::now(), unix_ms: BEGAN_MS };
        let engine = Engine::new(limits, 1, now);
        Self { engine, now, actions: Vec::new(), notices: Vec::new(), next_offset: 0 }
    }

    pub(super) fn input(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.engine.handle(self.now, input, &mut actions);
        for action in actions {
            match action {
                Action::Log(notice) => self.notices.push(notice),
                action => self.actions.push(action),
            }
        }
    }

    /// A record with this key, and with more headers.
    pub(super) fn fetch_with(&mut self, key: Option<&str>, headers: &[(&str, &str)]) -> RecordId {
        let id = id(self.next_offset);
        let value = br#"{"email_type": "welcome", "recipient": "anna@example.org"}"#;
        let headers = headers.iter().map(|(name, value)| header(name, value)).collect();
        self.fetch_parts(Parts {
            id,
            partition: partition(),
            timestamp_ms: self.now.unix_ms,
            key: key.map(|key| key.as_bytes().to_vec()),
            value: Some(value.to_vec()),
            headers,
        });
        id
    }

    pub(super) fn fetch_parts(&mut self, parts: Parts) {
        self.next_offset = parts.id.offset + 1;
        self.input(Input::Fetched(vec![Record::new(parts)]));
    }

    pub(super) fn fetch(&mut self, key: &str) -> RecordId {
        self.fetch_with(Some(key), &[])
    }

    /// As many records of different lanes.
    pub(super) fn fetch_many(&mut self, count: usize) -> Vec<RecordId> {
        (0..count).map(|_| self.fetch(&format!("lane {}", self.next_offset))).collect()
    }

    pub(super) fn end(&mut self, id: RecordId, result: AttemptResult) {
        self.input(Input::AttemptEnded(id, result));
    }

    pub(super) fn accept(&mut self, id: RecordId) {
        self.end(id, AttemptResult::Accepted(250));
    }

    /// Time passes, with every tick on its way; returns how many these are.
    pub(super) fn pass(&mut self, time: Duration) -> u32 {
        let until = self.now.instant + time;
        let mut ticks = 0;
        while let Some(wake) = self.engine.next_wake().filter(|wake| *wake <= until) {
            self.jump(wake.max(self.now.instant + Duration::from_micros(1)));
            self.input(Input::Tick);
            ticks += 1;
        }
        self.jump(until.max(self.now.instant));
        self.input(Input::Tick);
        ticks
    }

    /// Time passes, and the tick at its end is the first.
    pub(super) fn leap(&mut self, time: Duration) {
        self.jump(self.now.instant + time);
        self.input(Input::Tick);
    }

    pub(super) fn jump(&mut self, to: Instant) {
        let passed = to.saturating_duration_since(self.now.instant);
        // The clocks never agree quite.
        self.now.unix_ms += i64::try_from(passed.as_micros().div_ceil(1000)).unwrap();
        self.now.instant = to;
    }

    /// Takes out the actions that `pick` knows.
    fn take<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.actions.retain(|action| match pick(action) {
            Some(found) => {
                taken.push(found);
                false
            }
            None => true,
        });
        taken
    }

    pub(super) fn started(&mut self) -> Vec<i64> {
        self.take(|action| match action {
            Action::Start { id, .. } => Some(id.offset),
            _ => None,
        })
    }

    pub(super) fn works(&mut self) -> Vec<(u32, Work)> {
        self.take(|action| match action {
            Action::Start { attempt, work, .. } => Some((*attempt, work.clone())),
            _ => None,
        })
    }

    pub(super) fn buried(&mut self) -> Vec<(i64, DeadLetter)> {
        self.take(|action| match action {
            Action::Bury(id, letter) => Some((id.offset, letter.clone())),
            _ => None,
        })
    }

    pub(super) fn reasons(&mut self) -> Vec<(i64, String)> {
        let letters = self.buried();
        letters.iter().map(|(offset, letter)| (*offset, value(letter, "dlt-reason").unwrap())).collect()
    }

    pub(super) fn commits(&mut self) -> Vec<(CommitId, Vec<Position>)> {
        self.take(|action| match action {
            Action::Commit(id, positions) => Some((*id, positions.clone())),
            _ => None,
        })
    }

    pub(super) fn cancelled(&mut self) -> Vec<i64> {
        self.take(|action| match action {
            Action::CancelAttempt(id) => Some(id.offset),
            _ => None,
        })
    }

    pub(super) fn unassigned(&mut self) -> Vec<Vec<(PartitionId, Generation)>> {
        self.take(|action| match action {
            Action::Unassign(partitions) => Some(partitions.clone()),
            _ => None,
        })
    }

    pub(super) fn drained(&mut self) -> Vec<DrainReport> {
        self.take(|action| match action {
            Action::Drained(report) => Some(*report),
            _ => None,
        })
    }

    pub(super) fn paused(&mut self) -> Vec<bool> {
        self.take(|action| match action {
            Action::Pause(_) => Some(true),
            Action::Resume(_) => Some(false),
            _ => None,
        })
    }

    pub(super) fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn saw(&mut self, wanted: impl Fn(&Notice) -> bool) -> bool {
        self.notices().iter().any(wanted)
    }
}

/// Five records of as many lanes find no server.
pub(super) fn break_server(scene: &mut Scene) -> Vec<RecordId> {
    let all = scene.fetch_many(5);
    loop {
        let started = scene.started();
        if started.is_empty() {
            return all;
        }
        for offset in started {
            scene.end(id(offset), no_server());
        }
    }
}

/// The next record that the breaker admits.
pub(super) fn probe(scene: &mut Scene) -> RecordId {
    let started = scene.started();
    assert_eq!(started.len(), 1, "one probe");
    id(started[0])
}

/// A header of a dead letter.
pub(super) fn value(letter: &DeadLetter, name: &str) -> Option<String> {
    let found = letter.headers.iter().filter(|(found, _)| found == name).collect::<Vec<_>>();
    assert!(found.len() <= 1, "{name} is there once");
    found.first().map(|(_, value)| String::from_utf8(value.clone().unwrap()).unwrap())
}
