//! How a record passes from one state to the next, with everything that depends on its state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::action::Action;
use super::attempt::Target;
use super::dead_letter::dead_letter;
use super::engine::{Drain, Engine};
use super::identity::{Generation, Place, RecordId};
use super::life::{Life, State};
use super::notice::Notice;
use super::reason::Reason;
use super::record::Record;

/// The shortest time between two looks at a waiting record that has nearly been failing for too long.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn life(&mut self, id: RecordId) -> Option<&mut Life> {
        self.partitions.get_mut(&id.generation)?.lives.get_mut(&id.offset)
    }

    /// Changes the state of a record and everything that is counted or set by state.
    fn enter(&mut self, id: RecordId, state: State) {
        let Some(partition) = self.partitions.get_mut(&id.generation) else { return };
        let Some(life) = partition.lives.get_mut(&id.offset) else { return };
        let counts = &mut partition.counts;
        match life.enter(state) {
            State::Queued | State::Finished => {}
            State::Ready(ticket) => {
                if let Some(ticket) = ticket {
                    self.permits.withdraw(ticket);
                }
                self.expiries.clear(id);
            }
            State::Working { target, .. } => {
                counts.working -= 1;
                self.permits.release(target);
                self.deadlines.clear(id);
                self.overdue.remove(&id);
            }
            State::Waiting { .. } => {
                counts.waiting -= 1;
                self.retries.clear(id);
                self.expiries.clear(id);
            }
            State::Burying { .. } => {
                counts.burying -= 1;
                self.retries.clear(id);
            }
        }
        match state {
            State::Queued | State::Finished | State::Ready(_) => {}
            State::Working { .. } => counts.working += 1,
            State::Waiting { .. } => counts.waiting += 1,
            State::Burying { .. } => counts.burying += 1,
        }
    }

    /// A record that has to be delivered begins its life.
    pub(super) fn begin(&mut self, record: Record) {
        let id = record.id();
        let Some(partition) = self.partitions.get_mut(&id.generation) else { return };
        partition.bytes += record.size();
        let life = Life::new(Arc::new(record), &self.limits);
        let lane = life.lane();
        partition.lives.insert(id.offset, life);
        if partition.lanes.join(lane, id.offset) {
            self.make_ready(id);
        }
    }

    /// The record needs a permit next.
    pub(super) fn make_ready(&mut self, id: RecordId) {
        let Some(partition) = self.partitions.get(&id.generation) else { return };
        let Some(life) = partition.lives.get(&id.offset) else { return };
        let expires_at = life.expires_at_ms();
        let ticket = partition.is_open().then(|| self.permits.enqueue(life.target(), id, life.lane()));
        self.enter(id, State::Ready(ticket));
        self.expiries.set(id, expires_at);
    }

    /// The record has no place in the line of its target for now.
    pub(super) fn take_ticket(&mut self, id: RecordId) {
        let Some(life) = self.life(id) else { return };
        let expires_at = life.expires_at_ms();
        self.enter(id, State::Ready(None));
        self.expiries.set(id, expires_at);
    }

    /// The record was granted a permit.
    pub(super) fn start(&mut self, id: RecordId) {
        let now = self.now.instant;
        let Some(partition) = self.partitions.get_mut(&id.generation) else { return };
        let Some(life) = partition.lives.get(&id.offset) else { return };
        let State::Ready(Some(ticket)) = life.state() else { return };
        let target = ticket.target();
        let (record, attempt, work) = (Arc::clone(life.record()), life.attempts().saturating_add(1), life.work());
        partition.done.start(id.offset);
        partition.progress.moves(now);
        self.permits.grant(ticket, now);
        self.enter(id, State::Working { since: now, target });
        let longest = match target {
            Target::Smtp => self.limits.smtp_deadline,
            Target::Handler(_) => self.limits.handler_deadline,
        };
        self.deadlines.set(id, now + longest);
        self.act(Action::Start { id, record, attempt, work });
        self.unpark(id.generation);
    }

    /// The record is tried again later.
    pub(super) fn wait(&mut self, id: RecordId, until: Instant) {
        self.forget_message(id);
        self.enter(id, State::Waiting { until });
        self.wake_waiting(id, until);
    }

    /// Sets the alarm of a waiting record: the time has come, or it has been failing for too long.
    pub(super) fn wake_waiting(&mut self, id: RecordId, until: Instant) {
        let left = self.time_left(id).unwrap_or_default();
        // While a breaker is open, what is left does not get less: an alarm for each millisecond of it would be a storm.
        let pause = if left.is_zero() { left } else { left.max(SHORTEST_PAUSE) };
        self.retries.set(id, self.now.instant.checked_add(pause).map_or(until, |at| until.min(at)));
        let Some(life) = self.life(id) else { return };
        let expires_at = life.expires_at_ms();
        self.expiries.set(id, expires_at);
    }

    /// How much longer the record may fail, if the breaker does not open.
    pub(super) fn time_left(&mut self, id: RecordId) -> Option<Duration> {
        let now = self.now.instant;
        let failing = self.life(id)?.failing()?;
        let open = self.permits.breaker(failing.target).open_time(now).saturating_sub(failing.open_before);
        let failed = now.saturating_duration_since(failing.since).saturating_sub(open);
        Some(self.limits.retry_for.saturating_sub(failed))
    }

    /// The record is given up.
    pub(super) fn bury(&mut self, id: RecordId, reason: Reason) {
        self.forget_message(id);
        self.enter(id, State::Burying { reason, failures: 0 });
        let Some(partition) = self.partitions.get_mut(&id.generation) else { return };
        let Some(life) = partition.lives.get(&id.offset) else { return };
        partition.done.start(id.offset);
        let lane = life.lane();
        let letter = dead_letter(life, reason, &self.limits.group_id, self.now.unix_ms);
        let next = partition.lanes.advance(lane);
        self.act(Action::Bury(id, letter));
        if let Some(offset) = next {
            self.make_ready(RecordId { offset, ..id });
        }
    }

    /// Produces the dead letter of a record again.
    pub(super) fn bury_again(&mut self, id: RecordId) {
        let unix_ms = self.now.unix_ms;
        let Some(life) = self.partitions.get(&id.generation).and_then(|found| found.lives.get(&id.offset)) else {
            return;
        };
        if let State::Burying { reason, .. } = life.state() {
            let letter = dead_letter(life, reason, &self.limits.group_id, unix_ms);
            self.act(Action::Bury(id, letter));
        }
    }

    /// The record needs nothing any more.
    pub(super) fn finish(&mut self, id: RecordId) {
        let now = self.now.instant;
        self.forget_message(id);
        let Some(life) = self.life(id) else { return };
        let (lane, size) = (life.lane(), life.record().size());
        let has_left_lane = matches!(life.state(), State::Burying { .. });
        self.enter(id, State::Finished);
        let Some(partition) = self.partitions.get_mut(&id.generation) else { return };
        partition.lives.remove(&id.offset);
        partition.bytes = partition.bytes.saturating_sub(size);
        partition.done.finish(id.offset);
        partition.is_dirty = true;
        partition.progress.moves(now);
        let next = if has_left_lane { None } else { partition.lanes.advance(lane) };
        if let Some(offset) = next {
            self.make_ready(RecordId { offset, ..id });
        }
        if let Some(Drain::Running(report)) = &mut self.drain {
            report.finished += 1;
        }
        self.unpark(id.generation);
        self.pause_or_resume(id.generation);
    }

    /// Ends the lives of all records of a partition, and returns how many attempts and dead letters were cut off.
    pub(super) fn abandon(&mut self, generation: Generation) -> u64 {
        let Some(partition) = self.partitions.get(&generation) else { return 0 };
        let ids: Vec<i64> = partition.lives.keys().copied().collect();
        let mut cut_off = 0;
        for offset in ids {
            let id = RecordId { generation, offset };
            match self.life(id).map(|life| life.state()) {
                Some(State::Working { target, .. }) => {
                    cut_off += 1;
                    self.permits.breaker(target).ends(id, self.now.instant);
                    self.act(Action::CancelAttempt(id));
                }
                Some(State::Burying { .. }) => cut_off += 1,
                _ => {}
            }
            self.forget_message(id);
            self.enter(id, State::Finished);
        }
        if let Some(partition) = self.partitions.get_mut(&generation) {
            partition.forget_records();
        }
        cut_off
    }

    /// Puts a record that did not start for want of metadata back into the line.
    pub(super) fn unpark(&mut self, generation: Generation) {
        let Some(partition) = self.partitions.get_mut(&generation) else { return };
        while let Some(offset) = partition.parked.pop_front() {
            if partition.lives.get(&offset).is_some_and(|life| matches!(life.state(), State::Ready(None))) {
                return self.make_ready(RecordId { generation, offset });
            }
        }
    }

    pub(super) fn place(&mut self, id: RecordId) -> Option<Place> {
        self.life(id).map(|life| life.place())
    }

    pub(super) fn note_of(&mut self, id: RecordId, notice: impl FnOnce(Place) -> Notice) {
        if let Some(place) = self.place(id) {
            self.note(notice(place));
        }
    }

    fn forget_message(&mut self, id: RecordId) {
        if let Some(handler) = self.life(id).and_then(Life::forget_message) {
            self.permits.uncomposed(handler);
        }
    }
}
