//! Permits are granted, attempts end, and dead letters are stored.

use std::time::{Duration, Instant};

use super::attempt::{AttemptResult, Failure, Message, Stage, Target};
use super::breaker::{Blow, Change};
use super::engine::Engine;
use super::identity::RecordId;
use super::life::{Failing, State};
use super::limits::OnUnknown;
use super::notice::Notice;
use super::partition::Partition;
use super::reason::Reason;
use super::retry;
use super::verdict::{is_credentials, judge, Verdict};
use crate::smtp::{self, Reply};

/// The first pause after a dead letter that was not stored; it doubles.
const BURY_AGAIN: Duration = Duration::from_secs(1);
/// The longest one.
const BURY_AGAIN_MAX: Duration = Duration::from_mins(1);

/// The longest delay that a handler may ask for: longer than any record is kept.
const LONGEST_DELAY: Duration = Duration::from_hours(24 * 365);

impl Engine {
    pub(super) fn grant_permits(&mut self) {
        if self.is_behind() {
            return;
        }
        while let Some(id) = self.permits.next(self.now.instant) {
            let Some(partition) = self.partitions.get_mut(&id.generation) else { return };
            let Some(life) = partition.lives.get(&id.offset) else { return };
            let is_duplicate = life.record().event_id().is_some_and(|event_id| self.delivered.contains(event_id));
            let is_too_old = life.expires_at_ms() <= self.now.unix_ms;
            if !partition.may_start(id.offset) {
                partition.parked.push_back(id.offset);
                self.take_ticket(id);
            } else if is_duplicate {
                self.note_of(id, Notice::Duplicate);
                self.finish(id);
            } else if is_too_old {
                self.bury(id, Reason::TooOld);
            } else {
                self.start(id);
            }
        }
    }

    pub(super) fn on_attempt_ended(&mut self, id: RecordId, result: AttemptResult) {
        let Some(State::Working { target, .. }) = self.life(id).map(|life| life.state()) else { return };
        if let Some(partition) = self.partitions.get_mut(&id.generation) {
            partition.progress.moves(self.now.instant);
        }
        match result {
            AttemptResult::Accepted(code) => self.deliver(id, target, Some(Reply::new(code, None))),
            AttemptResult::Handled => self.deliver(id, target, None),
            AttemptResult::Composed(message) => self.compose(id, target, message),
            AttemptResult::Dropped => {
                self.note_attempt(id, None, None, None);
                self.target_succeeds(target);
                self.note_of(id, Notice::Dropped);
                self.finish(id);
            }
            AttemptResult::Failed(failure) => self.fail(id, target, failure),
        }
    }

    fn deliver(&mut self, id: RecordId, target: Target, reply: Option<Reply>) {
        self.note_attempt(id, Some(Verdict::Delivered), None, reply);
        self.target_succeeds(target);
        let unix_ms = self.now.unix_ms;
        let Some(life) = self.life(id) else { return };
        let age_ms = unix_ms.saturating_sub(life.record().timestamp_ms()).max(0);
        let age = Duration::from_millis(age_ms.unsigned_abs());
        if let Some(event_id) = life.record().event_id().cloned() {
            self.delivered.insert(&event_id);
        }
        self.note_of(id, |place| Notice::Delivered { place, age });
        self.finish(id);
    }

    fn compose(&mut self, id: RecordId, target: Target, message: Message) {
        self.note_attempt(id, None, None, None);
        self.target_succeeds(target);
        if let (Target::Handler(handler), Some(life)) = (target, self.life(id)) {
            life.compose(message);
            self.permits.composed(handler);
        }
        self.make_ready(id);
    }

    fn fail(&mut self, id: RecordId, target: Target, failure: Failure) {
        let verdict = judge(&failure);
        let (now, unix_ms, stage, reply) = (self.now.instant, self.now.unix_ms, failure.stage(), failure.reply());
        self.note_attempt(id, Some(verdict), Some(stage), reply);
        if matches!(failure, Failure::HandlerFailed | Failure::HandlerTimeout) {
            self.note_of(id, Notice::HandlerFailed);
        }
        let open_before = self.permits.breaker(target).open_time(now);
        self.target_fails(id, target, &failure, verdict);
        let resends = self.limits.on_unknown == OnUnknown::Resend;
        let Some(life) = self.life(id) else { return };
        life.note_failure(failure, unix_ms);
        if verdict != Verdict::ServerWide {
            life.count_attempt();
        }
        match verdict {
            Verdict::Permanent => self.refuse(id, target, Reason::of(&failure)),
            Verdict::Unknown if !resends => self.bury(id, Reason::Unknown),
            // A delivery is no failure.
            Verdict::Delivered | Verdict::ServerWide => self.make_ready(id),
            Verdict::Transient | Verdict::Unknown => {
                life.begin_failing(Failing { since: now, target, open_before });
                self.retry(id, &failure);
            }
        }
    }

    /// The record will never be delivered; unless the target refuses nearly everything, which is its fault.
    fn refuse(&mut self, id: RecordId, target: Target, reason: Reason) {
        if reason == Reason::Permanent && self.permits.breaker(target).holds_burying().is_some() {
            self.make_ready(id);
        } else {
            self.bury(id, reason);
        }
    }

    fn retry(&mut self, id: RecordId, failure: &Failure) {
        let Some(attempts) = self.life(id).map(|life| life.attempts()) else { return };
        let delay = match failure {
            Failure::HandlerRetry(Some(delay)) => *delay,
            _ => retry::delay(attempts, self.limits.retry_base, self.limits.retry_cap, &mut self.random),
        };
        let failure = *failure;
        self.note_of(id, |place| Notice::Retry { place, attempts, delay, failure });
        self.wait(id, self.now.instant + delay.min(LONGEST_DELAY));
    }

    /// The alarm of a waiting record or of one being buried.
    pub(super) fn on_retry_due(&mut self, id: RecordId) {
        match self.life(id).map(|life| life.state()) {
            Some(State::Waiting { until }) => self.stop_waiting(id, until),
            Some(State::Burying { .. }) => self.bury_again(id),
            _ => {}
        }
    }

    fn stop_waiting(&mut self, id: RecordId, until: Instant) {
        let now = self.now.instant;
        let has_failed_too_long = self.time_left(id).is_some_and(|left| left.is_zero());
        let may_bury = self.partitions.get(&id.generation).is_some_and(|partition| partition.may_start(id.offset));
        if !self.partitions.get(&id.generation).is_some_and(Partition::is_open) {
            return;
        }
        match (has_failed_too_long, may_bury) {
            (true, true) => self.bury(id, Reason::Retries),
            (true, false) => self.retries.set(id, now + BURY_AGAIN),
            (false, _) if until <= now => self.make_ready(id),
            (false, _) => self.wake_waiting(id, until),
        }
    }

    pub(super) fn on_dead_letter(&mut self, id: RecordId, result: Result<(), &'static str>) {
        let now = self.now.instant;
        let Some(life) = self.life(id) else { return };
        let State::Burying { reason, failures } = life.state() else { return };
        let failure = life.last_failure();
        let attempts = life.attempts();
        if let Err(error) = result {
            let pause = retry::doubled(BURY_AGAIN, failures).min(BURY_AGAIN_MAX);
            let _ = life.enter(State::Burying { reason, failures: failures.saturating_add(1) });
            self.retries.set(id, now + pause);
            self.note_of(id, |place| Notice::DeadLetterFailed { place, error });
        } else {
            self.note_of(id, |place| Notice::DeadLettered { place, reason, attempts, failure });
            self.finish(id);
        }
    }

    fn target_succeeds(&mut self, target: Target) {
        let change = self.permits.breaker(target).succeeds(self.now.instant);
        self.note_change(target, change, None);
    }

    fn target_fails(&mut self, id: RecordId, target: Target, failure: &Failure, verdict: Verdict) {
        let now = self.now.instant;
        let breaker = self.permits.breaker(target);
        let is_sign_in =
            failure.reply().is_some_and(is_credentials) || failure.stage() == Stage::Smtp(smtp::Stage::Auth);
        let blow = match (verdict, Reason::of(failure)) {
            // The target never saw the record.
            (Verdict::Permanent, Reason::Poison | Reason::Template) => return breaker.ends(id, now),
            (Verdict::Permanent, _) => Blow::Permanent,
            (Verdict::ServerWide, _) if is_sign_in => Blow::Auth,
            (Verdict::ServerWide, _) => Blow::ServerWide,
            (Verdict::Transient | Verdict::Unknown | Verdict::Delivered, _) => Blow::Transient,
        };
        let change = breaker.fails(id, blow, now);
        self.note_change(target, change, Some(failure));
    }

    pub(super) fn note_change(&mut self, target: Target, change: Change, failure: Option<&Failure>) {
        match change {
            Change::None => {}
            Change::Opened => self.note(Notice::Unavailable { target, failure: failure.copied() }),
            Change::Closed(after) => self.note(Notice::Recovered { target, after }),
            Change::RefusalsHigh => self.note(Notice::RefusalsHigh { target, is_on: true }),
            Change::RefusalsOver(_) => self.note(Notice::RefusalsHigh { target, is_on: false }),
        }
    }

    fn note_attempt(&mut self, id: RecordId, verdict: Option<Verdict>, stage: Option<Stage>, reply: Option<Reply>) {
        self.note_of(id, |place| Notice::Attempted { place, verdict, stage, reply });
    }
}
