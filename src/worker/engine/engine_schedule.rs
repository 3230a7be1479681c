//! What is due at which time.

use std::time::{Duration, Instant};

use super::drain::Release;
use super::engine::Engine;
use super::identity::{Generation, RecordId};
use super::life::State;
use super::notice::{Notice, StuckCause};
use super::partition::Phase;
use super::reason::Reason;
use super::watch;

/// When a record is looked at again that is too old and cannot be buried yet.
const LOOK_AGAIN_MS: i64 = 1000;

impl Engine {
    /// When [`Input::Tick`](super::Input::Tick) is due; None while only something else can change the state.
    pub fn next_wake(&self) -> Option<Instant> {
        let now = self.now;
        let expiry = self.expiries.first().map(|at| {
            let left = Duration::from_millis(at.saturating_sub(now.unix_ms).max(0).unsigned_abs());
            now.instant.checked_add(left).unwrap_or(now.instant + Duration::from_hours(24))
        });
        let holds = self.partitions.values().filter_map(|partition| match partition.phase {
            Phase::Held { until, .. } => Some(until),
            Phase::Open | Phase::Closing => None,
        });
        let due = [
            expiry,
            self.retries.first(),
            self.deadlines.first(),
            self.commit_at(),
            self.looks_at.filter(|_| !self.partitions.is_empty()),
            self.permits.next_wake(now.instant),
        ];
        let releases = self.releases.iter().map(Release::deadline);
        due.into_iter().flatten().chain(holds).chain(releases).min()
    }

    pub(super) fn take_what_is_due(&mut self) {
        let now = self.now.instant;
        let late = self.partitions.iter().filter(|(_, partition)| match partition.phase {
            Phase::Held { until, .. } => until <= now,
            Phase::Open | Phase::Closing => false,
        });
        let late: Vec<Generation> = late.map(|(generation, _)| *generation).collect();
        for generation in late {
            self.on_committed_read(generation, None);
        }
        while let Some(id) = self.expiries.pop(self.now.unix_ms) {
            self.on_expiry(id);
        }
        while let Some(id) = self.retries.pop(now) {
            self.on_retry_due(id);
        }
        while let Some(id) = self.deadlines.pop(now) {
            self.overdue.insert(id);
            self.note_of(id, |place| Notice::Stuck { partition: place.partition, cause: StuckCause::Overdue });
        }
        let changes: Vec<_> = self.permits.breakers().map(|(target, breaker)| (target, breaker.expire(now))).collect();
        for (target, change) in changes {
            self.note_change(target, change, None);
        }
        if self.looks_at.is_none_or(|at| at <= now) {
            self.look();
        }
    }

    /// A ready or waiting record is too old.
    fn on_expiry(&mut self, id: RecordId) {
        let Some(partition) = self.partitions.get(&id.generation) else { return };
        let is_idle = partition
            .lives
            .get(&id.offset)
            .is_some_and(|life| matches!(life.state(), State::Ready(_) | State::Waiting { .. }));
        if !is_idle || !partition.is_open() {
            return;
        }
        if partition.may_start(id.offset) {
            self.bury(id, Reason::TooOld);
        } else {
            self.expiries.set(id, self.now.unix_ms.saturating_add(LOOK_AGAIN_MS));
        }
    }

    /// Looks whether something is stuck.
    fn look(&mut self) {
        let now = self.now.instant;
        self.looks_at = (!self.partitions.is_empty()).then(|| now + watch::INTERVAL);
        let is_held_back = self.permits.is_any_open() || self.limits.rate.is_some();
        let mut stuck = Vec::new();
        for partition in self.partitions.values_mut() {
            let (position, waits) = (partition.done.position(), partition.waits(is_held_back));
            if partition.progress.look(position, waits, now) {
                stuck.push(partition.id.clone());
            }
        }
        for partition in stuck {
            self.note(Notice::Stuck { partition, cause: StuckCause::NoProgress });
        }
        let all: Vec<Generation> = self.partitions.keys().copied().collect();
        for generation in all {
            self.pause_or_resume(generation);
        }
    }
}
