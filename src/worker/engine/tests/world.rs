//! A scripted Kafka and a scripted mail server around an engine, which check what it does at every step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::{name, number, record, Assignment, Log, Stored};
use crate::worker::engine::action::{CommitId, Position};
use crate::worker::engine::attempt::{AttemptResult, Failure, Message, Target, Work};
use crate::worker::engine::dead_letter::DeadLetter;
use crate::worker::engine::identity::{Generation, RecordId};
use crate::worker::engine::input::{Committed, Input, Now};
use crate::worker::engine::limits::{Limits, OnUnknown};
use crate::worker::engine::rate::Rate;
use crate::worker::engine::record::Record;
use crate::worker::engine::verdict::{judge, Verdict};
use crate::worker::engine::Engine;

pub(super) const PARTITIONS: usize = 3;

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Now,
    pub(super) logs: Vec<Log>,
    pub(super) assignments: BTreeMap<Generation, Assignment>,
    generations: u64,
    pub(super) at_work: BTreeMap<RecordId, Work>,
    pub(super) letters: BTreeMap<RecordId, DeadLetter>,
    pub(super) commit: Option<(CommitId, Vec<Position>)>,
    pub(super) reads: Vec<Generation>,
    /// Ids of attempts of generations that ended.
    pub(super) stale: Vec<RecordId>,
    pub(super) delivered_ids: BTreeSet<u8>,
    pub(super) sent_at: Vec<Instant>,
    pub(super) limits: Limits,
    pub(super) commit_sent_at: Option<Instant>,
    /// Partitions that the client does not fetch; that outlasts an assignment.
    pub(super) paused: BTreeSet<usize>,
    pub(super) drained: bool,
    seed: u64,
}

fn limits() -> Limits {
    Limits {
        handlers: vec![Arc::from("invoice")],
        concurrency: 4,
        max_connections: 2,
        rate: Some(Rate::parse("20/s").unwrap()),
        retry_cap: Duration::from_secs(20),
        retry_for: Duration::from_mins(1),
        max_age: Duration::from_hours(3),
        on_unknown: OnUnknown::Resend,
        dedup_window: 1000,
        drain_timeout: Duration::from_secs(5),
        queued_records: 18,
        ..Limits::new()
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let now = Now { instant: Instant::now(), unix_ms: super::scene::BEGAN_MS };
        Self {
            engine: Engine::new(limits(), seed, now),
            now,
            logs: (0..PARTITIONS).map(|_| Log::default()).collect(),
            assignments: BTreeMap::new(),
            generations: 0,
            at_work: BTreeMap::new(),
            letters: BTreeMap::new(),
            commit: None,
            reads: Vec::new(),
            stale: Vec::new(),
            delivered_ids: BTreeSet::new(),
            sent_at: Vec::new(),
            limits: limits(),
            commit_sent_at: None,
            paused: BTreeSet::new(),
            drained: false,
            seed,
        }
    }

    pub(super) fn produce(&mut self, partition: usize, gap: i64, key: u8, event_id: u8, expires_s: Option<i64>) {
        let log = &mut self.logs[partition];
        let offset = log.end + gap;
        log.records.push(Stored {
            offset,
            key,
            event_id,
            has_handler: key.is_multiple_of(3),
            timestamp_ms: self.now.unix_ms,
            expires_ms: expires_s.map(|after| self.now.unix_ms + after * 1000),
        });
        log.end = offset + 1;
    }

    /// Partitions that nobody has go to this worker.
    pub(super) fn assign(&mut self) {
        let taken: BTreeSet<usize> = self.assignments.values().map(|assignment| assignment.partition).collect();
        let free: Vec<usize> = (0..PARTITIONS).filter(|partition| !taken.contains(partition)).collect();
        let mut assigned = Vec::new();
        for partition in free {
            self.generations += 1;
            let generation = Generation(self.generations);
            let committed = self.logs[partition].committed.as_ref().map_or(0, |(offset, _)| *offset);
            let assignment = Assignment {
                partition,
                fetch_from: committed,
                is_revoked: false,
                is_blind: false,
                last_commit: committed,
                known: BTreeSet::new(),
                burying: BTreeSet::new(),
                failures: HashMap::new(),
            };
            self.assignments.insert(generation, assignment);
            assigned.push((name(partition), generation));
        }
        if !assigned.is_empty() {
            self.input(Input::Assigned(assigned));
        }
    }

    fn chosen(&self, mask: u8) -> Vec<Generation> {
        let all = self.assignments.iter().filter(|(_, found)| mask >> found.partition & 1 == 1 && !found.is_revoked);
        all.map(|(generation, _)| *generation).collect()
    }

    pub(super) fn revoke(&mut self, mask: u8) {
        let chosen = self.chosen(mask);
        for generation in &chosen {
            self.assignments.get_mut(generation).unwrap().is_revoked = true;
        }
        self.input(Input::Revoked(chosen));
    }

    pub(super) fn lose(&mut self, mask: u8) {
        let chosen = self.chosen(mask);
        self.input(Input::Lost(chosen.clone()));
        assert!(chosen.iter().all(|generation| !self.assignments.contains_key(generation)), "unassigned at once");
    }

    /// The consumer died; the worker goes on with another.
    pub(super) fn kill_client(&mut self) {
        self.forget_assignments();
        self.input(Input::ClientDied);
        assert!(self.at_work.is_empty());
        self.letters.clear();
    }

    /// The worker drains, and another one begins.
    pub(super) fn restart(&mut self, is_patient: bool) {
        self.drained = false;
        let began = self.now.instant;
        for assignment in self.assignments.values_mut() {
            assignment.is_revoked = true;
        }
        self.input(Input::Drain);
        for step in 0..1000 {
            if self.drained {
                break;
            }
            if is_patient {
                self.end_attempt(step, None);
                self.end_letter(step, true);
                self.end_commit(true);
            }
            self.wake();
        }
        assert!(self.drained && self.assignments.is_empty() && self.at_work.is_empty());
        assert!(self.now.instant - began < Duration::from_secs(8), "within drain_timeout and the last commit");
        self.crash();
    }

    /// The worker dies, and another one begins with what Kafka has.
    pub(super) fn crash(&mut self) {
        self.forget_assignments();
        self.at_work.clear();
        self.letters.clear();
        self.delivered_ids.clear();
        self.sent_at.clear();
        self.commit_sent_at = None;
        self.seed += 1;
        self.engine = Engine::new(limits(), self.seed, self.now);
    }

    fn forget_assignments(&mut self) {
        self.paused.clear();
        self.assignments.clear();
        self.reads.clear();
        self.commit = None;
    }

    pub(super) fn read_back(&mut self, which: usize, is_read: bool) {
        if self.reads.is_empty() {
            return;
        }
        let generation = self.reads.remove(which % self.reads.len());
        let Some(assignment) = self.assignments.get(&generation) else { return };
        let committed = self.logs[assignment.partition].committed.clone();
        let committed =
            committed.map_or(Committed::default(), |(offset, metadata)| Committed { offset: Some(offset), metadata });
        self.input(Input::CommittedRead(generation, is_read.then_some(committed)));
    }

    pub(super) fn fetch(&mut self, partition: usize, count: usize) {
        // No partition is fetched while any is revoked.
        if self.assignments.values().any(|assignment| assignment.is_revoked) {
            return;
        }
        let Some((&generation, assignment)) =
            self.assignments.iter_mut().find(|(_, assignment)| assignment.partition == partition)
        else {
            return;
        };
        if self.paused.contains(&partition) {
            return;
        }
        let log = &self.logs[partition];
        let wanted = log.records.iter().filter(|stored| stored.offset >= assignment.fetch_from).take(count);
        let records: Vec<Record> = wanted.map(|stored| record(stored, partition, generation)).collect();
        if let Some(last) = records.last() {
            assignment.fetch_from = last.id().offset + 1;
            self.input(Input::Fetched(records));
        }
    }

    pub(super) fn end_attempt(&mut self, which: usize, failure: Option<Failure>) {
        let Some((&id, _)) = self.at_work.iter().nth(which % self.at_work.len().max(1)) else { return };
        let work = self.at_work.remove(&id).unwrap();
        let assignment = self.assignments.get_mut(&id.generation).unwrap();
        let log = &mut self.logs[assignment.partition];
        let stored = log.records.iter().find(|stored| stored.offset == id.offset).unwrap();
        let result = match (failure, work) {
            (Some(failure), _) => {
                assignment.failures.entry(id.offset).or_default().push(failure);
                if judge(&failure) == Verdict::Unknown {
                    // It was sent, but that is only known here.
                    log.finished.insert(id.offset);
                }
                AttemptResult::Failed(failure)
            }
            (None, Work::Handle(_)) if which.is_multiple_of(2) => AttemptResult::Composed(Message(Arc::from(*b"mail"))),
            (None, Work::Handle(_)) if which.is_multiple_of(5) => {
                log.finished.insert(id.offset);
                assignment.known.insert(id.offset);
                AttemptResult::Dropped
            }
            (None, work) => {
                log.finished.insert(id.offset);
                assignment.known.insert(id.offset);
                self.delivered_ids.insert(stored.event_id);
                if matches!(work, Work::Handle(_)) {
                    AttemptResult::Handled
                } else {
                    AttemptResult::Accepted(250)
                }
            }
        };
        self.input(Input::AttemptEnded(id, result));
    }

    /// A result that nobody waits for.
    pub(super) fn end_stale(&mut self, which: usize) {
        if self.stale.is_empty() {
            return;
        }
        self.input(Input::Tick);
        let id = self.stale[which % self.stale.len()];
        let before = self.engine.gauges();
        for input in [
            Input::AttemptEnded(id, AttemptResult::Accepted(250)),
            Input::AttemptEnded(id, AttemptResult::Failed(Failure::NotRendered)),
            Input::DeadLetterEnded(id, Ok(())),
            Input::CommitEnded(CommitId(u64::MAX), Ok(())),
            Input::CommittedRead(id.generation, None),
        ] {
            let mut actions = Vec::new();
            self.engine.handle(self.now, input, &mut actions);
            assert!(actions.is_empty(), "results of an ended generation change nothing");
        }
        assert_eq!(self.engine.gauges(), before);
    }

    pub(super) fn end_letter(&mut self, which: usize, is_stored: bool) {
        let Some((&id, _)) = self.letters.iter().nth(which % self.letters.len().max(1)) else { return };
        self.letters.remove(&id);
        if is_stored {
            let assignment = self.assignments.get_mut(&id.generation).unwrap();
            self.logs[assignment.partition].finished.insert(id.offset);
            assignment.known.insert(id.offset);
            assignment.burying.remove(&id.offset);
        }
        self.input(Input::DeadLetterEnded(id, is_stored.then_some(()).ok_or("REQUEST_TIMED_OUT")));
    }

    pub(super) fn end_commit(&mut self, is_stored: bool) {
        let Some((id, positions)) = self.commit.take() else { return };
        // The group refuses the commit of a member that has lost the partition.
        let is_member = |position: &&Position| self.assignments.contains_key(&position.generation);
        for position in positions.iter().filter(is_member).filter(|_| is_stored) {
            let log = &mut self.logs[number(&position.partition)];
            log.committed = Some((position.offset, position.metadata.clone().into_bytes()));
        }
        self.input(Input::CommitEnded(id, is_stored.then_some(()).ok_or("REQUEST_TIMED_OUT")));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_ms += i64::try_from(time.as_millis()).unwrap();
        self.input(Input::Tick);
    }

    pub(super) fn wake(&mut self) {
        if let Some(wake) = self.engine.next_wake() {
            let time = wake.saturating_duration_since(self.now.instant);
            // The clock of the epoch has milliseconds only.
            self.pass(Duration::from_millis(u64::try_from(time.as_millis()).unwrap() + 1));
        }
    }

    fn input(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.engine.handle(self.now, input, &mut actions);
        for action in actions {
            self.act(action);
        }
        let smtp = self.at_work.values().filter(|work| !matches!(work, Work::Handle(_))).count();
        assert!(self.at_work.len() <= self.limits.concurrency && smtp <= self.limits.max_connections);
        assert_eq!(self.engine.gauges().at_work, self.at_work.len());
        if let Some(wake) = self.engine.next_wake() {
            assert!(wake >= self.now.instant, "the engine is never late with itself");
        }
    }

    /// Everything works from now on: all records must be finished and committed in the end.
    pub(super) fn recover(&mut self) {
        for _ in 0..20_000 {
            self.assign();
            while !self.reads.is_empty() {
                self.read_back(0, true);
            }
            (0..PARTITIONS).for_each(|partition| self.fetch(partition, 5));
            while !self.at_work.is_empty() {
                self.end_attempt(0, None);
            }
            while !self.letters.is_empty() {
                self.end_letter(0, true);
            }
            self.end_commit(true);
            if self.is_over() {
                return self.check_end();
            }
            self.wake();
        }
        let rest: Vec<_> = self.logs.iter().map(|log| (log.committed.clone().map(|found| found.0), log.end)).collect();
        panic!("some records are held: {rest:?}, {:?}", self.engine.gauges());
    }

    fn is_over(&self) -> bool {
        let is_committed = |log: &Log| {
            let first = log.records.iter().find(|stored| !log.finished.contains(&stored.offset));
            let last = log.records.last().map(|stored| stored.offset + 1);
            first.is_none() && last.is_none_or(|last| log.committed.as_ref().is_some_and(|(at, _)| *at == last))
        };
        self.logs.iter().all(is_committed) && self.paused.is_empty()
    }
}

/// The target of some work.
pub(super) fn target(work: &Work) -> Target {
    match work {
        Work::Handle(place) => Target::Handler(*place),
        Work::Mail | Work::Send(_) => Target::Smtp,
    }
}
