//! Permits: what a record needs before work on it starts, namely room within the limits of concurrency, of connections
//! and of the rate, and a breaker that admits it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::attempt::Target;
use super::breaker::{Admission, Breaker};
use super::identity::RecordId;
use super::lane::LaneId;
use super::limits::Limits;
use super::rate::TokenBucket;

/// The place of a ready record in the line of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    target: Target,
    number: u64,
}

impl Ticket {
    /// Whose line.
    pub fn target(self) -> Target {
        self.target
    }
}

/// The ready records, and what they wait for.
pub struct Permits {
    concurrency: usize,
    max_connections: usize,
    at_work: usize,
    bucket: Option<TokenBucket>,
    smtp: Line,
    handlers: Vec<Line>,
    last_ticket: u64,
}

/// What one target is asked to do.
#[derive(Default)]
struct Line {
    ready: BTreeMap<u64, (RecordId, LaneId)>,
    breaker: Breaker,
    at_work: usize,
    /// Mails that this handler composed and that wait for SMTP.
    composed: usize,
}

impl Permits {
    /// All permits are there.
    pub fn new(limits: &Limits) -> Self {
        Self {
            concurrency: limits.concurrency.max(1),
            max_connections: limits.max_connections.max(1),
            at_work: 0,
            bucket: limits.rate.map(TokenBucket::new),
            smtp: Line::default(),
            handlers: limits.handlers.iter().map(|_| Line::default()).collect(),
            last_ticket: 0,
        }
    }

    /// Records at work.
    pub fn at_work(&self) -> usize {
        self.at_work
    }

    /// The breaker of a target.
    pub fn breaker(&mut self, target: Target) -> &mut Breaker {
        &mut self.line(target).breaker
    }

    /// Every target with its breaker.
    pub fn breakers(&mut self) -> impl Iterator<Item = (Target, &mut Breaker)> {
        let smtp = std::iter::once((Target::Smtp, &mut self.smtp));
        let handlers = self.handlers.iter_mut().enumerate().map(|(place, line)| (Target::Handler(place), line));
        smtp.chain(handlers).map(|(target, line)| (target, &mut line.breaker))
    }

    /// Whether the breaker of any target is open.
    pub fn is_any_open(&self) -> bool {
        std::iter::once(&self.smtp).chain(&self.handlers).any(|line| line.breaker.is_open())
    }

    /// A record joins the line of its target.
    pub fn enqueue(&mut self, target: Target, id: RecordId, lane: LaneId) -> Ticket {
        self.last_ticket += 1;
        let number = self.last_ticket;
        self.line(target).ready.insert(number, (id, lane));
        Ticket { target, number }
    }

    /// A record leaves the line without a permit.
    pub fn withdraw(&mut self, ticket: Ticket) {
        self.line(ticket.target).ready.remove(&ticket.number);
    }

    /// The record that has waited longest of those that could get a permit now.
    pub fn next(&self, now: Instant) -> Option<RecordId> {
        if self.at_work >= self.concurrency {
            return None;
        }
        let smtp = self.smtp.candidate(now).filter(|_| self.has_connection() && self.rate_at(now) <= now);
        let handlers = self.handlers.iter().filter(|line| line.composed < self.concurrency);
        let first = handlers.filter_map(|line| line.candidate(now)).chain(smtp).min_by_key(|(number, _)| *number);
        first.map(|(_, id)| id)
    }

    /// Gives the permit to a record that [`Self::next`] named.
    pub fn grant(&mut self, ticket: Ticket, now: Instant) {
        self.at_work += 1;
        if let (Target::Smtp, Some(bucket)) = (ticket.target, &mut self.bucket) {
            bucket.take(now);
        }
        let line = self.line(ticket.target);
        line.at_work += 1;
        if let Some((id, lane)) = line.ready.remove(&ticket.number) {
            line.breaker.begins(id, lane);
        }
    }

    /// The attempt of a record has ended.
    pub fn release(&mut self, target: Target) {
        self.at_work = self.at_work.saturating_sub(1);
        let line = self.line(target);
        line.at_work = line.at_work.saturating_sub(1);
    }

    /// A mail of this handler begins to wait for SMTP.
    pub fn composed(&mut self, handler: usize) {
        self.line(Target::Handler(handler)).composed += 1;
    }

    /// A mail of this handler was sent or given up.
    pub fn uncomposed(&mut self, handler: usize) {
        let line = self.line(Target::Handler(handler));
        line.composed = line.composed.saturating_sub(1);
    }

    /// When a permit may be there that is not there now, if only time has to pass.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        let lines = std::iter::once(&self.smtp).chain(&self.handlers);
        let breakers =
            lines.filter(|line| !line.ready.is_empty()).filter_map(|line| match line.breaker.admission(now) {
                Admission::Nobody(at) => at,
                Admission::All | Admission::Probe(_) => None,
            });
        let rate = Some(self.rate_at(now)).filter(|at| *at > now && !self.smtp.ready.is_empty());
        let holds = std::iter::once(&self.smtp).chain(&self.handlers).filter_map(|line| line.breaker.holds_burying());
        breakers.chain(rate).chain(holds).min()
    }

    fn has_connection(&self) -> bool {
        self.smtp.at_work < self.max_connections
    }

    fn rate_at(&self, now: Instant) -> Instant {
        self.bucket.as_ref().map_or(now, |bucket| bucket.available_at(now))
    }

    /// A handler that does not exist has no records.
    fn line(&mut self, target: Target) -> &mut Line {
        match target {
            Target::Smtp => &mut self.smtp,
            Target::Handler(place) => self.handlers.get_mut(place).unwrap_or(&mut self.smtp),
        }
    }
}

impl Line {
    fn candidate(&self, now: Instant) -> Option<(u64, RecordId)> {
        let not_of = match self.breaker.admission(now) {
            Admission::All => None,
            Admission::Probe(lane) => lane,
            Admission::Nobody(_) => return None,
        };
        let mut ready = self.ready.iter();
        let first = ready.next()?;
        // A lane has one ready record at most, so the second is of another.
        let chosen = if Some(first.1 .1) == not_of { ready.next().unwrap_or(first) } else { first };
        Some((*chosen.0, chosen.1 .0))
    }
}
