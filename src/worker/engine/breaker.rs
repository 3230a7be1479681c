//! A circuit breaker: while it is open, nothing is sent to its target, but for one record at a time that probes it.

use std::time::{Duration, Instant};

use super::identity::RecordId;
use super::lane::LaneId;
use super::refusals::Refusals;
use super::retry::doubled;

/// Failures in a row that open it.
const STREAK: usize = 5;
/// The pause before the first probe; it doubles.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The breaker of one target.
#[derive(Default)]
pub struct Breaker {
    state: State,
    /// The records that failed in a row.
    streak: Vec<RecordId>,
    /// How long it was open before it closed last, in all.
    open_before: Duration,
    refusals: Refusals,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Open {
        since: Instant,
        /// Probes that failed since then.
        failed: u32,
        probe: Probe,
        /// The lane of the last probe; the next one comes from another.
        lane: Option<LaneId>,
    },
}

enum Probe {
    /// None before this moment.
    At(Instant),
    /// Half-open, and this record is at work.
    Running(RecordId),
}

/// Whom the breaker admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everybody.
    All,
    /// One record, if possible not of this lane.
    Probe(Option<LaneId>),
    /// Nobody, at least until then.
    Nobody(Option<Instant>),
}

/// How a record that was sent to the target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// A failure of AUTH.
    Auth,
    /// A failure of the server: the same record may count more than once.
    ServerWide,
    /// A failure of this record for now.
    Transient,
    /// A failure of this record for good.
    Permanent,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that has to be said.
    None,
    /// The breaker opened.
    Opened,
    /// It opened because most verdicts are permanent.
    RefusalsHigh,
    /// It closed, after this time.
    Closed(Duration),
    /// The same, and records are buried again.
    RefusalsOver(Duration),
}

impl Breaker {
    /// Whether it is open or half-open.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Until when no record may be buried.
    pub fn holds_burying(&self) -> Option<Instant> {
        self.refusals.hold_until()
    }

    /// How long it has been open in all.
    pub fn open_time(&self, now: Instant) -> Duration {
        match &self.state {
            State::Closed => self.open_before,
            State::Open { since, .. } => self.open_before + now.saturating_duration_since(*since),
        }
    }

    /// Whom it admits now.
    pub fn admission(&self, now: Instant) -> Admission {
        match &self.state {
            State::Closed => Admission::All,
            State::Open { probe: Probe::At(at), lane, .. } if *at <= now => Admission::Probe(*lane),
            State::Open { probe: Probe::At(at), .. } => Admission::Nobody(Some(*at)),
            State::Open { probe: Probe::Running(_), .. } => Admission::Nobody(None),
        }
    }

    /// An admitted record begins.
    pub fn begins(&mut self, id: RecordId, of: LaneId) {
        if let State::Open { probe, lane, .. } = &mut self.state {
            (*probe, *lane) = (Probe::Running(id), Some(of));
        }
    }

    /// A record ended without a word about the target: it was abandoned, or could not be prepared.
    pub fn ends(&mut self, id: RecordId, now: Instant) {
        if let State::Open { probe, .. } = &mut self.state {
            if matches!(probe, Probe::Running(running) if *running == id) {
                *probe = Probe::At(now);
            }
        }
    }

    /// The target took a record.
    pub fn succeeds(&mut self, now: Instant) -> Change {
        self.streak.clear();
        self.refusals.count(false, now);
        let is_relenting = self.refusals.relent();
        match self.close(now) {
            Some(after) if is_relenting => Change::RefusalsOver(after),
            Some(after) => Change::Closed(after),
            None => Change::None,
        }
    }

    /// The target did not take a record.
    pub fn fails(&mut self, id: RecordId, blow: Blow, now: Instant) -> Change {
        let is_high = self.refusals.count(blow == Blow::Permanent, now);
        match blow {
            Blow::Permanent => {}
            Blow::Transient if self.streak.contains(&id) => {}
            Blow::Auth | Blow::ServerWide | Blow::Transient => self.streak.push(id),
        }
        if let State::Open { probe: probe @ Probe::Running(_), failed, .. } = &mut self.state {
            if matches!(probe, Probe::Running(running) if *running == id) {
                // The server answered, which says nothing about its health unless it refuses everything.
                let is_failed = blow != Blow::Permanent || self.refusals.hold_until().is_some();
                let pause = if is_failed { doubled(SHORTEST_PAUSE, *failed + 1) } else { Duration::ZERO };
                *failed = (*failed + u32::from(is_failed)).min(16);
                *probe = Probe::At(now + pause.min(LONGEST_PAUSE));
            }
        }
        let is_opening = is_high || blow == Blow::Auth || self.streak.len() >= STREAK;
        if is_opening {
            self.streak.clear();
        }
        if is_opening && !self.is_open() {
            let probe = Probe::At(now + SHORTEST_PAUSE);
            self.state = State::Open { since: now, failed: 0, probe, lane: None };
            return if is_high { Change::RefusalsHigh } else { Change::Opened };
        }
        if is_high {
            Change::RefusalsHigh
        } else {
            Change::None
        }
    }

    /// Time has passed. After the longest hold the refusals are meant, and records are buried again.
    pub fn expire(&mut self, now: Instant) -> Change {
        if !self.refusals.expire(now) {
            return Change::None;
        }
        Change::RefusalsOver(self.close(now).unwrap_or_default())
    }

    fn close(&mut self, now: Instant) -> Option<Duration> {
        let State::Open { since, .. } = self.state else { return None };
        let after = now.saturating_duration_since(since);
        self.open_before += after;
        self.streak.clear();
        self.state = State::Closed;
        Some(after)
    }
}
