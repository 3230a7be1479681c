//! Partitions are given back in an orderly way, and positions are committed.

use std::collections::BTreeSet;
use std::time::Instant;

use super::action::{Action, CommitId, DrainReport, Position};
use super::drain::{Release, Step};
use super::engine::{Drain, Engine};
use super::identity::{Generation, RecordId};
use super::life::State;
use super::notice::Notice;
use super::partition::Phase;

impl Engine {
    pub(super) fn on_revoked(&mut self, generations: &[Generation]) {
        let known = generations.iter().copied().filter(|generation| self.partitions.contains_key(generation)).collect();
        self.release(known, self.now.instant + self.limits.drain_timeout);
    }

    pub(super) fn on_drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain::Running(DrainReport::default()));
        let open = self.partitions.iter().filter(|(_, partition)| !matches!(partition.phase, Phase::Closing));
        let open = open.map(|(generation, _)| *generation).collect();
        self.release(open, self.now.instant + self.limits.drain_timeout);
        self.finish_drain();
    }

    pub(super) fn on_abort(&mut self) {
        if self.drain.is_none() {
            self.drain = Some(Drain::Running(DrainReport::default()));
        }
        let all: Vec<Generation> = self.partitions.keys().copied().collect();
        let ended = self.end(&all);
        if !ended.is_empty() {
            self.act(Action::Unassign(ended));
        }
        self.finish_drain();
    }

    /// No new record of these partitions starts; those at work may finish until then.
    pub(super) fn release(&mut self, generations: BTreeSet<Generation>, until: Instant) {
        let overlapping = self.releases.iter().filter(|release| !release.generations().is_disjoint(&generations));
        let until = overlapping.map(Release::deadline).fold(until, Instant::min);
        for generation in &generations {
            // Partitions that a drain closes may be revoked as well; then they follow the revocation.
            self.releases.iter_mut().for_each(|release| release.leave(*generation));
            let Some(partition) = self.partitions.get_mut(generation) else { continue };
            partition.phase = Phase::Closing;
            let ready = partition.lives.iter().filter(|(_, life)| matches!(life.state(), State::Ready(Some(_))));
            let ready: Vec<i64> = ready.map(|(offset, _)| *offset).collect();
            for offset in ready {
                self.take_ticket(RecordId { generation: *generation, offset });
            }
        }
        self.releases.retain(|release| !release.generations().is_empty());
        if !generations.is_empty() {
            self.releases.push(Release::new(generations, until));
        }
    }

    pub(super) fn advance_releases(&mut self) {
        let now = self.now.instant;
        let mut running = std::mem::take(&mut self.releases);
        for release in &mut running {
            if let Step::Finishing(until) = release.step() {
                let mut partitions = release.generations().iter().filter_map(|found| self.partitions.get(found));
                if until <= now || partitions.all(|partition| partition.busy() == 0) {
                    self.cut_off(release);
                    release.commit(now);
                }
            }
        }
        let (done, running) = running.into_iter().partition(|release| self.is_done(release));
        self.releases = running;
        let done: Vec<Release> = done;
        for release in done {
            let generations: Vec<Generation> = release.generations().iter().copied().collect();
            let ended = self.end(&generations);
            self.note(Notice::PartitionsReleased(ended.iter().map(|(id, _)| id.clone()).collect()));
            self.act(Action::Unassign(ended));
            self.finish_drain();
        }
    }

    fn cut_off(&mut self, release: &Release) {
        for generation in release.generations() {
            let cut_off = self.abandon(*generation);
            if let Some(Drain::Running(report)) = &mut self.drain {
                report.abandoned += cut_off;
            } else if cut_off > 0 {
                self.note(Notice::DrainIncomplete(cut_off));
            }
        }
    }

    /// Whether the last commit is acknowledged, or was awaited for long enough.
    fn is_done(&self, release: &Release) -> bool {
        let Step::Committing(until) = release.step() else { return false };
        let mut partitions = release.generations().iter().filter_map(|found| self.partitions.get(found));
        let is_dirty = partitions.any(|partition| partition.is_dirty && partition.done.position().is_some());
        until <= self.now.instant || !(is_dirty || self.commits.is_pending(release.generations()))
    }

    /// Whether Kafka refuses positions at the moment. No record starts meanwhile: what finishes and is not committed is
    /// repeated if the worker dies.
    pub(super) fn is_behind(&self) -> bool {
        let is_dirty = || self.partitions.values().any(|partition| partition.is_dirty);
        let mut in_flight = self.commits.in_flight();
        self.commits.was_refused() && (is_dirty() || in_flight.any(|sent| self.partitions.contains_key(sent)))
    }

    /// When the next commit is due, if there is something to commit.
    pub(super) fn commit_at(&self) -> Option<Instant> {
        self.partitions
            .values()
            .any(|partition| partition.is_dirty)
            .then(|| self.commits.may_send_at(self.now.instant))?
    }

    pub(super) fn commit(&mut self) {
        let now = self.now.instant;
        if self.commit_at().is_none_or(|at| at > now) {
            return;
        }
        let mut positions = Vec::new();
        for (generation, partition) in &mut self.partitions {
            if let (true, Some(offset)) = (std::mem::take(&mut partition.is_dirty), partition.done.position()) {
                let (partition, metadata) = (partition.id.clone(), partition.done.encode());
                positions.push(Position { partition, generation: *generation, offset, metadata });
            }
        }
        if !positions.is_empty() {
            let id = self.commits.send(positions.iter().map(|position| position.generation).collect(), now);
            self.act(Action::Commit(id, positions));
        }
    }

    pub(super) fn on_commit_ended(&mut self, id: CommitId, result: Result<(), &'static str>) {
        let Some(generations) = self.commits.end(id, result.is_ok(), self.now.instant) else { return };
        let Err(error) = result else { return };
        for generation in generations {
            if let Some(partition) = self.partitions.get_mut(&generation) {
                partition.is_dirty = true;
            }
        }
        self.note(Notice::CommitFailed(error));
    }
}
