//! A scripted Kafka and a scripted mail server around an engine, which check what it does at every step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::scene::header;
use crate::worker::action::{Action, CommitId, Position};
use crate::worker::attempt::{AttemptResult, Failure, Message, Target, Work};
use crate::worker::dead_letter::DeadLetter;
use crate::worker::done_set::{DoneSet, METADATA_MAX};
use crate::worker::identity::{Generation, PartitionId, RecordId};
use crate::worker::input::{Committed, Input, Now};
use crate::worker::limits::{Limits, OnUnknown};
use crate::worker::notice::Notice;
use crate::worker::rate::Rate;
use crate::worker::record::{Parts, Record};
use crate::worker::verdict::{judge, Verdict};
use crate::worker::Engine;

pub(super) const PARTITIONS: usize = 3;

/// A record in the scripted log.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) offset: i64,
    pub(super) key: u8,
    pub(super) event_id: u8,
    pub(super) has_handler: bool,
    timestamp_ms: i64,
    expires_ms: Option<i64>,
}

/// A partition as the cluster knows it.
#[derive(Default)]
struct Log {
    records: Vec<Stored>,
    end: i64,
    committed: Option<(i64, Vec<u8>)>,
    /// What is finished in truth: sent, dropped, or stored as a dead letter.
    finished: BTreeSet<i64>,
}

/// An assignment as the consumer knows it.
struct Assignment {
    partition: usize,
    fetch_from: i64,
    is_paused: bool,
    is_revoked: bool,
    /// Whether the done set may be missing.
    is_blind: bool,
    last_commit: i64,
    /// Records that this generation finished or skipped.
    known: BTreeSet<i64>,
    /// Records whose dead letter is being produced.
    burying: BTreeSet<i64>,
    /// How the attempts at each record failed.
    failures: HashMap<i64, Vec<Failure>>,
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Now,
    logs: Vec<Log>,
    assignments: BTreeMap<Generation, Assignment>,
    generations: u64,
    pub(super) at_work: BTreeMap<RecordId, Work>,
    pub(super) letters: BTreeMap<RecordId, DeadLetter>,
    pub(super) commit: Option<(CommitId, Vec<Position>)>,
    pub(super) reads: Vec<Generation>,
    /// Ids of attempts of generations that ended.
    pub(super) stale: Vec<RecordId>,
    delivered_ids: BTreeSet<u8>,
    sent_at: Vec<Instant>,
    limits: Limits,
    commit_sent_at: Option<Instant>,
    seed: u64,
}

fn limits() -> Limits {
    Limits {
        handlers: vec![Arc::from("invoice")],
        concurrency: 4,
        max_connections: 2,
        rate: Some(Rate::parse("20/s").unwrap()),
        retry_cap: Duration::from_secs(20),
        retry_for: Duration::from_secs(60),
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
            has_handler: key % 3 == 0,
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
                is_paused: false,
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
        if assignment.is_paused {
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
            (None, Work::Handle(_)) if which % 2 == 0 => AttemptResult::Composed(Message(Arc::from(*b"mail"))),
            (None, Work::Handle(_)) if which % 5 == 0 => {
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
            Input::DeadLetterStored(id, true),
            Input::CommitEnded(CommitId(u64::MAX), true),
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
        self.input(Input::DeadLetterStored(id, is_stored));
    }

    pub(super) fn end_commit(&mut self, is_stored: bool) {
        let Some((id, positions)) = self.commit.take() else { return };
        // The group refuses the commit of a member that has lost the partition.
        let is_member = |position: &&Position| self.assignments.contains_key(&position.generation);
        for position in positions.iter().filter(is_member).filter(|_| is_stored) {
            let log = &mut self.logs[number(&position.partition)];
            log.committed = Some((position.offset, position.metadata.clone().into_bytes()));
        }
        self.input(Input::CommitEnded(id, is_stored));
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
        actions.into_iter().for_each(|action| self.act(action));
        let smtp = self.at_work.values().filter(|work| !matches!(work, Work::Handle(_))).count();
        assert!(self.at_work.len() <= self.limits.concurrency && smtp <= self.limits.max_connections);
        assert_eq!(self.engine.gauges().at_work, self.at_work.len());
        if let Some(wake) = self.engine.next_wake() {
            assert!(wake >= self.now.instant - Duration::from_millis(1), "the engine is never late with itself");
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::ReadCommitted(partitions) => {
                self.reads.extend(partitions.into_iter().map(|(_, generation)| generation));
            }
            Action::Start { id, record, attempt, work } => self.on_start(id, &record, attempt, work),
            Action::CancelAttempt(id) => {
                assert!(self.at_work.remove(&id).is_some(), "only an attempt under way is cancelled");
                self.stale.push(id);
            }
            Action::Bury(id, letter) => self.on_bury(id, letter),
            Action::Commit(id, positions) => self.on_commit(id, positions),
            Action::Pause(partitions) => self.on_pause(&partitions, true),
            Action::Resume(partitions) => self.on_pause(&partitions, false),
            Action::Unassign(partitions) => {
                for (_, generation) in partitions {
                    assert!(self.assignments.remove(&generation).is_some());
                    assert!(self.at_work.keys().all(|id| id.generation != generation));
                    self.letters.retain(|id, _| id.generation != generation);
                }
            }
            Action::Log(Notice::Duplicate(place)) => {
                let log = &mut self.logs[number(&place.partition)];
                let stored = log.records.iter().find(|stored| stored.offset == place.offset).unwrap();
                assert!(self.delivered_ids.contains(&stored.event_id), "an event with its id was delivered");
                log.finished.insert(place.offset);
                let assigned = self.assignments.values_mut();
                let partition = number(&place.partition);
                for assignment in assigned.filter(|assignment| assignment.partition == partition) {
                    assignment.known.insert(place.offset);
                }
            }
            Action::Log(Notice::DoneSetUnread(partition)) => {
                let partition = number(&partition);
                for assignment in self.assignments.values_mut().filter(|found| found.partition == partition) {
                    assignment.is_blind = true;
                }
            }
            Action::Log(_) | Action::Drained(_) => {}
        }
    }

    fn on_pause(&mut self, partitions: &[PartitionId], is_pause: bool) {
        assert!(self.assignments.values().all(|assignment| !assignment.is_revoked), "not around an assignment");
        for partition in partitions {
            let partition = number(partition);
            let assignment = self.assignments.values_mut().find(|found| found.partition == partition).unwrap();
            assert_ne!(assignment.is_paused, is_pause, "only when the state changes");
            assignment.is_paused = is_pause;
        }
    }

    fn on_start(&mut self, id: RecordId, record: &Record, attempt: u32, work: Work) {
        let assignment = &self.assignments[&id.generation];
        assert!(!assignment.is_revoked, "no record of a revoked partition starts");
        let log = &self.logs[assignment.partition];
        let stored = log.records.iter().find(|stored| stored.offset == id.offset).unwrap();
        let earlier = log.records.iter().take_while(|other| other.offset < id.offset);
        for other in earlier.filter(|other| other.key == stored.key) {
            let is_final = log.finished.contains(&other.offset) || assignment.burying.contains(&other.offset);
            assert!(is_final, "{} before {}", other.offset, id.offset);
        }
        for other in self.at_work.keys().filter(|other| other.generation == id.generation) {
            let other = log.records.iter().find(|stored| stored.offset == other.offset).unwrap();
            assert_ne!(other.key, stored.key, "one of a lane is at work");
        }
        if let (false, Some((offset, metadata))) = (assignment.is_blind, &log.committed) {
            assert!(!covers(*offset, metadata, id.offset, &log.records), "{} was committed", id.offset);
        }
        assert!(!assignment.known.contains(&id.offset));
        assert!(stored.expires_ms.is_none_or(|at| at > self.now.unix_ms), "it is not too old");
        let failures = assignment.failures.get(&id.offset).map_or(&[][..], Vec::as_slice);
        let counted = failures.iter().filter(|failure| judge(failure) != Verdict::ServerWide).count();
        assert_eq!(usize::try_from(attempt).unwrap(), counted + 1, "server-wide failures are no attempts");
        assert_eq!(record.id(), id);
        if !matches!(work, Work::Handle(_)) {
            self.sent_at.push(self.now.instant);
        }
        assert!(self.at_work.insert(id, work).is_none());
    }

    fn on_bury(&mut self, id: RecordId, letter: DeadLetter) {
        let assignment = self.assignments.get_mut(&id.generation).unwrap();
        let stored = self.logs[assignment.partition].records.iter().find(|stored| stored.offset == id.offset).unwrap();
        assignment.burying.insert(id.offset);
        let failures = assignment.failures.get(&id.offset).map_or(&[][..], Vec::as_slice);
        let last = failures.last().map(judge);
        let expires = stored.expires_ms.unwrap_or(stored.timestamp_ms + 3 * 3_600_000);
        match super::scene::value(&letter, "dlt-reason").unwrap().as_str() {
            "too_old" => assert!(expires <= self.now.unix_ms || !assignment.burying.is_empty()),
            "permanent" | "poison" | "template" => assert_eq!(last, Some(Verdict::Permanent)),
            "retries" => assert!(
                failures.iter().any(|failure| judge(failure) == Verdict::Transient)
                    || failures.iter().any(|failure| judge(failure) == Verdict::Unknown)
            ),
            reason => panic!("{reason}"),
        }
        self.letters.insert(id, letter);
    }

    fn on_commit(&mut self, id: CommitId, positions: Vec<Position>) {
        assert!(self.commit.is_none(), "one in flight");
        let spacing = self.commit_sent_at.map(|at| self.now.instant - at);
        assert!(spacing.is_none_or(|spacing| spacing >= Duration::from_millis(50)));
        self.commit_sent_at = Some(self.now.instant);
        for position in &positions {
            let assignment = self.assignments.get_mut(&position.generation).unwrap();
            let log = &self.logs[assignment.partition];
            assert!(position.metadata.len() <= METADATA_MAX);
            assert!(position.offset >= assignment.last_commit, "it never decreases");
            assignment.last_commit = position.offset;
            for stored in log.records.iter().filter(|stored| stored.offset < assignment.fetch_from) {
                let is_covered = covers(position.offset, position.metadata.as_bytes(), stored.offset, &log.records);
                assert!(!is_covered || log.finished.contains(&stored.offset), "{} is unfinished", stored.offset);
                assert!(is_covered || !assignment.known.contains(&stored.offset), "{} is finished", stored.offset);
            }
        }
        self.commit = Some((id, positions));
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
        self.logs.iter().all(is_committed) && self.assignments.values().all(|assignment| !assignment.is_paused)
    }

    fn check_end(&self) {
        let gauges = self.engine.gauges();
        assert_eq!((gauges.at_work, gauges.waiting, gauges.oldest_unfinished_ms), (0, 0, None));
        let rate = self.limits.rate.unwrap();
        for (first, from) in self.sent_at.iter().enumerate() {
            for (last, to) in self.sent_at.iter().enumerate().skip(first) {
                let allowed = (*to - *from).div_duration_f64(rate.interval()) + f64::from(rate.burst());
                assert!(f64::from(u32::try_from(last - first + 1).unwrap()) <= allowed + 1e-6, "the rate is kept");
            }
        }
    }
}

/// Whether a commit says that a record is finished.
fn covers(committed: i64, metadata: &[u8], offset: i64, records: &[Stored]) -> bool {
    let mut set = DoneSet::restore(committed, metadata);
    let before = records.iter().map(|stored| stored.offset).filter(|found| (committed..offset).contains(found));
    before.for_each(|found| drop(set.fetch(found)));
    offset < committed || !set.fetch(offset)
}

fn name(partition: usize) -> PartitionId {
    PartitionId::new(Arc::from("mails"), i32::try_from(partition).unwrap())
}

fn number(partition: &PartitionId) -> usize {
    usize::try_from(partition.number()).unwrap()
}

fn record(stored: &Stored, partition: usize, generation: Generation) -> Record {
    let mut headers = vec![header("ce_id", &format!("id-{}", stored.event_id))];
    if stored.has_handler {
        headers.push(header("ce_type", "invoice"));
    }
    headers.extend(stored.expires_ms.map(|at| header("expires-at", &at.to_string())));
    Record::new(Parts {
        id: RecordId { generation, offset: stored.offset },
        partition: name(partition),
        timestamp_ms: stored.timestamp_ms,
        key: Some(vec![stored.key]),
        value: Some(Vec::new()),
        headers,
    })
}

/// The target of some work.
pub(super) fn target(work: &Work) -> Target {
    match work {
        Work::Handle(place) => Target::Handler(*place),
        Work::Mail | Work::Send(_) => Target::Smtp,
    }
}
