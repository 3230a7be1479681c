//! The state machine: which input leads where, and what has to be done.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use super::action::{Action, DrainReport};
use super::commits::Commits;
use super::delivered::Delivered;
use super::drain::Release;
use super::identity::{Generation, PartitionId, RecordId};
use super::input::{Input, Now};
use super::limits::Limits;
use super::notice::Notice;
use super::partition::Partition;
use super::permit::Permits;
use super::retry::Random;
use super::timers::Timers;

/// All state of the worker.
pub struct Engine {
    pub(super) limits: Limits,
    pub(super) random: Random,
    /// The time of the present input.
    pub(super) now: Now,
    pub(super) partitions: BTreeMap<Generation, Partition>,
    pub(super) permits: Permits,
    pub(super) delivered: Delivered,
    /// When waiting records are looked at, and dead letters are produced again.
    pub(super) retries: Timers<Instant>,
    /// When ready and waiting records are too old, in milliseconds since the epoch.
    pub(super) expiries: Timers<i64>,
    /// When records at work are overdue.
    pub(super) deadlines: Timers<Instant>,
    pub(super) overdue: HashSet<RecordId>,
    pub(super) commits: Commits,
    pub(super) releases: Vec<Release>,
    pub(super) drain: Option<Drain>,
    pub(super) looks_at: Option<Instant>,
    /// What the client does not fetch. librdkafka keeps that in mind when a partition is taken away and assigned again.
    pub(super) paused: HashSet<PartitionId>,
    pub(super) actions: Vec<Action>,
}

/// A drain of the whole worker.
pub(super) enum Drain {
    Running(DrainReport),
    Over,
}

/// Numbers for metrics and health.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Records at work.
    pub at_work: usize,
    /// Records that wait for another attempt.
    pub waiting: usize,
    /// Whether a breaker is open.
    pub is_breaker_open: bool,
    /// The timestamp of the oldest record that is the first unfinished of its partition.
    pub oldest_unfinished_ms: Option<i64>,
    /// Unfinished records of each partition whose end is known.
    pub lags: Vec<(PartitionId, i64)>,
    /// Whether something is stuck.
    pub is_stuck: bool,
}

impl Engine {
    /// An engine without partitions. The seed makes its delays random.
    pub fn new(limits: Limits, seed: u64, now: Now) -> Self {
        Self {
            permits: Permits::new(&limits),
            delivered: Delivered::new(limits.dedup_window),
            limits,
            random: Random::new(seed),
            now,
            partitions: BTreeMap::new(),
            retries: Timers::new(),
            expiries: Timers::new(),
            deadlines: Timers::new(),
            overdue: HashSet::new(),
            commits: Commits::default(),
            releases: Vec::new(),
            drain: None,
            looks_at: None,
            paused: HashSet::new(),
            actions: Vec::new(),
        }
    }

    /// Takes an input and appends what has to be done, in order.
    pub fn handle(&mut self, now: Now, input: Input, actions: &mut Vec<Action>) {
        self.now = now;
        match input {
            Input::Assigned(partitions) => self.on_assigned(partitions),
            Input::CommittedRead(generation, committed) => self.on_committed_read(generation, committed),
            Input::Fetched(records) => self.on_fetched(records),
            Input::EndOffset(generation, offset) => {
                if let Some(partition) = self.partitions.get_mut(&generation) {
                    partition.progress.ends_at(offset);
                }
            }
            Input::Revoked(generations) => self.on_revoked(&generations),
            Input::Lost(generations) => self.on_lost(&generations),
            Input::AttemptEnded(id, result) => self.on_attempt_ended(id, result),
            Input::DeadLetterEnded(id, result) => self.on_dead_letter(id, result),
            Input::CommitEnded(id, result) => self.on_commit_ended(id, result),
            Input::Drain => self.on_drain(),
            Input::Abort => self.on_abort(),
            Input::ClientDied => self.on_client_died(),
            Input::Tick => {}
        }
        self.take_what_is_due();
        self.advance_releases();
        self.grant_permits();
        self.commit();
        actions.append(&mut self.actions);
    }

    /// Numbers for metrics and health, at the time of the last input.
    pub fn gauges(&self) -> Gauges {
        let partitions = || self.partitions.values();
        let first = |partition: &Partition| {
            let life = partition.lives.get(&partition.done.position()?)?;
            Some(life.record().timestamp_ms())
        };
        Gauges {
            at_work: self.permits.at_work(),
            waiting: partitions().map(|partition| partition.counts.waiting).sum(),
            is_breaker_open: self.permits.is_any_open(),
            oldest_unfinished_ms: partitions().filter_map(first).min(),
            lags: partitions()
                .filter_map(|partition| {
                    Some((partition.id.clone(), partition.progress.lag(partition.done.position())?))
                })
                .collect(),
            is_stuck: !self.overdue.is_empty() || partitions().any(|partition| partition.progress.is_stuck()),
        }
    }

    /// The state of a record that is in memory.
    #[cfg(test)]
    pub(super) fn state(&self, id: RecordId) -> Option<super::life::State> {
        Some(self.partitions.get(&id.generation)?.lives.get(&id.offset)?.state())
    }

    /// Whether all that is finished in a partition is committed; None if its generation ended.
    #[cfg(test)]
    pub(super) fn is_committed(&self, generation: Generation) -> Option<bool> {
        let partition = self.partitions.get(&generation)?;
        Some(!partition.is_dirty && self.commits.may_send_at(self.now.instant).is_some())
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(super) fn note(&mut self, notice: Notice) {
        self.actions.push(Action::Log(notice));
    }
}
