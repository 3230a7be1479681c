//! What the world does when the engine acts, and what it expects of each action.

use std::time::Duration;

use super::cluster::{covers, number};
use super::world::World;
use crate::worker::engine::action::{Action, CommitId, Position};
use crate::worker::engine::attempt::Work;
use crate::worker::engine::dead_letter::DeadLetter;
use crate::worker::engine::done_set::METADATA_MAX;
use crate::worker::engine::identity::{PartitionId, RecordId};
use crate::worker::engine::notice::Notice;
use crate::worker::engine::record::Record;
use crate::worker::engine::verdict::{judge, Verdict};

impl World {
    pub(super) fn act(&mut self, action: Action) {
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
            Action::Drained(_) => self.drained = true,
            Action::Log(_) => {}
        }
    }

    fn on_pause(&mut self, partitions: &[PartitionId], is_pause: bool) {
        assert!(self.assignments.values().all(|assignment| !assignment.is_revoked), "not around an assignment");
        for partition in partitions {
            let partition = number(partition);
            let has_changed = if is_pause { self.paused.insert(partition) } else { self.paused.remove(&partition) };
            assert!(has_changed, "only when the state changes");
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

    pub(super) fn check_end(&self) {
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
