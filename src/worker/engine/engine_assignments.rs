//! Partitions come, are fetched, and are lost.

use std::time::Duration;

use super::action::{Action, DrainReport};
use super::done_set::DoneSet;
use super::engine::{Drain, Engine};
use super::identity::{Generation, PartitionId};
use super::input::Committed;
use super::notice::Notice;
use super::partition::{Partition, Phase};
use super::record::Record;
use super::watch;

/// How long records wait for the done set.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn on_assigned(&mut self, partitions: Vec<(PartitionId, Generation)>) {
        let now = self.now.instant;
        for (id, generation) in &partitions {
            self.partitions.insert(*generation, Partition::new(id.clone(), now + LONGEST_HOLD, now));
        }
        self.looks_at = Some(now + watch::INTERVAL);
        self.note(Notice::PartitionsAssigned(partitions.iter().map(|(id, _)| id.clone()).collect()));
        if self.drain.is_some() {
            self.release(partitions.iter().map(|(_, generation)| *generation).collect(), now);
        } else {
            self.act(Action::ReadCommitted(partitions));
        }
    }

    pub(super) fn on_committed_read(&mut self, generation: Generation, committed: Option<Committed>) {
        let Some(partition) = self.partitions.get_mut(&generation) else { return };
        let Phase::Held { records, .. } = &mut partition.phase else { return };
        let records = std::mem::take(records);
        partition.phase = Phase::Open;
        partition.bytes = 0;
        match committed {
            Some(Committed { offset: Some(offset), metadata }) => {
                partition.done = DoneSet::restore(offset, &metadata);
            }
            Some(Committed { offset: None, .. }) => {}
            None => {
                let id = partition.id.clone();
                self.note(Notice::DoneSetUnread(id));
            }
        }
        self.on_fetched(records);
    }

    pub(super) fn on_fetched(&mut self, records: Vec<Record>) {
        for record in records {
            let generation = record.id().generation;
            self.take_record(record);
            self.pause_or_resume(generation);
        }
    }

    fn take_record(&mut self, record: Record) {
        let (generation, offset) = (record.id().generation, record.id().offset);
        let Some(partition) = self.partitions.get_mut(&generation) else { return };
        partition.progress.moves(self.now.instant);
        match &mut partition.phase {
            Phase::Closing => return,
            Phase::Held { records, .. } => {
                partition.bytes += record.size();
                return records.push(record);
            }
            Phase::Open => {}
        }
        if partition.done.is_rewound_by(offset) {
            // The topic was created again, or its end was cut off: what was known of these offsets is void.
            self.abandon(generation);
            self.partitions.entry(generation).and_modify(|partition| partition.done = DoneSet::default());
        }
        let Some(partition) = self.partitions.get_mut(&generation) else { return };
        let before = partition.done.position();
        if partition.done.fetch(offset) {
            self.begin(record);
        } else {
            partition.is_dirty |= partition.done.position() != before;
        }
    }

    pub(super) fn on_lost(&mut self, generations: &[Generation]) {
        let lost = self.end(generations);
        if !lost.is_empty() {
            self.note(Notice::PartitionsLost(lost.iter().map(|(id, _)| id.clone()).collect()));
            self.act(Action::Unassign(lost));
        }
        self.finish_drain();
    }

    pub(super) fn on_client_died(&mut self) {
        let all: Vec<Generation> = self.partitions.keys().copied().collect();
        let lost = self.end(&all);
        self.commits.forget();
        self.paused.clear();
        if !lost.is_empty() {
            self.note(Notice::PartitionsLost(lost.into_iter().map(|(id, _)| id).collect()));
        }
        self.finish_drain();
    }

    /// Generations end at once, with no commit.
    pub(super) fn end(&mut self, generations: &[Generation]) -> Vec<(PartitionId, Generation)> {
        let mut ended = Vec::new();
        for generation in generations {
            let cut_off = self.abandon(*generation);
            self.releases.iter_mut().for_each(|release| release.leave(*generation));
            if let Some(partition) = self.partitions.remove(generation) {
                ended.push((partition.id, *generation));
            }
            if let Some(Drain::Running(report)) = &mut self.drain {
                report.abandoned += cut_off;
            }
        }
        self.releases.retain(|release| !release.generations().is_empty());
        self.looks_at = Some(self.now.instant + watch::INTERVAL);
        ended
    }

    /// The drain is over when no partition is left.
    pub(super) fn finish_drain(&mut self) {
        if let (true, Some(Drain::Running(report))) = (self.partitions.is_empty(), &self.drain) {
            let report: DrainReport = *report;
            self.drain = Some(Drain::Over);
            if report.abandoned > 0 {
                self.note(Notice::DrainIncomplete(report.abandoned));
            }
            self.act(Action::Drained(report));
        }
    }

    /// Stops fetching a partition whose records take more than its share of the memory, and fetches it again when they
    /// take half. Nothing of the kind happens while a partition is given back.
    pub(super) fn pause_or_resume(&mut self, generation: Generation) {
        let share = self.partitions.len().max(1);
        let Some(partition) = self.partitions.get(&generation) else { return };
        if matches!(partition.phase, Phase::Closing) || !self.releases.is_empty() {
            return;
        }
        let (records, bytes) = ((self.limits.queued_records / share).max(1), self.limits.queued_bytes / share);
        let is_full = partition.records() > records || partition.bytes > bytes;
        let is_half_empty = partition.records() <= records / 2 && partition.bytes <= bytes / 2;
        let is_paused = self.paused.contains(&partition.id);
        if is_full && !is_paused {
            let id = partition.id.clone();
            self.paused.insert(id.clone());
            self.act(Action::Pause(vec![id]));
        } else if is_half_empty && is_paused {
            let id = partition.id.clone();
            self.paused.remove(&id);
            self.act(Action::Resume(vec![id]));
        }
    }
}
