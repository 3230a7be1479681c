//! The events for whose outcome threads wait, without an event loop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use slab::Slab;

use super::call::{Call, CallOutcome};
use super::completions::lock;
use super::lines::Lines;
use super::metrics::METRICS;
use super::outcome::{EventOutcome, Outcome};
use super::outcome_queue::new_id;
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::log_line::{Level, LogEvent, LogLine};

/// How often a failure of one code that nobody asked for is logged.
const REPEAT: Duration = Duration::from_secs(30);

/// The calls whose outcome is open, and what becomes of failures that nobody asks for.
pub(crate) struct Calls {
    id: u32,
    open: Mutex<Slab<Arc<Call>>>,
    unheard: Mutex<HashMap<&'static str, Unheard>>,
    lines: Arc<Lines>,
}

/// Failures of one code that nobody asked for.
#[derive(Default)]
struct Unheard {
    logged: Option<Instant>,
    /// Since then.
    unlogged: u64,
}

impl Calls {
    pub(super) fn new(lines: Arc<Lines>) -> Self {
        Self { id: new_id(), open: Mutex::default(), unheard: Mutex::default(), lines }
    }

    /// Names the calls in tickets.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// A call for an event that is about to be accepted.
    pub(crate) fn begin(&self) -> (Arc<Call>, Ticket) {
        let call = Arc::new(Call::default());
        let slot = lock(&self.open).insert(Arc::clone(&call));
        // More than 4 billion calls do not fit into memory.
        (call, Ticket::new(self.id, u32::try_from(slot).unwrap_or(u32::MAX)))
    }

    /// Forgets a call that will have no outcome.
    pub(crate) fn forget(&self, ticket: Ticket) {
        lock(&self.open).try_remove(ticket.slot() as usize);
    }

    /// Nobody can ask for the call's outcome any more. A failure is logged then.
    pub(crate) fn abandon(&self, call: &Call) {
        if let Some(failure) = call.abandon() {
            self.log(&failure);
        }
    }

    /// The next line for the application's log, if there is one.
    pub(crate) fn next_line(&self) -> Option<LogLine> {
        if self.lines.are_waiting() {
            self.lines.next()
        } else {
            None
        }
    }

    /// Settles the calls of these outcomes.
    pub(super) fn settle_all(&self, outcomes: &mut Vec<Outcome>) {
        let mut settled = Vec::with_capacity(outcomes.len());
        {
            let mut open = lock(&self.open);
            for outcome in outcomes.drain(..) {
                if let Outcome::Event(slot, outcome) = outcome {
                    settled.extend(take(&mut open, slot, outcome));
                }
            }
        }
        for (call, outcome) in settled {
            self.settle(&call, outcome);
        }
    }

    fn settle(&self, call: &Call, outcome: CallOutcome) {
        // After its deadline the caller has had its failure, and only the delivery report is missing.
        if call.is_settled() {
            return;
        }
        if let Err(failure) = &outcome {
            METRICS.fail(failure.kind.class);
        }
        if let Some(failure) = call.settle(outcome) {
            self.log(&failure);
        }
    }

    fn log(&self, failure: &Failure) {
        let line = lock(&self.unheard).entry(failure.kind.code).or_default().line(failure, Instant::now());
        if let Some(line) = line {
            self.lines.add(line);
        }
    }
}

impl Unheard {
    fn line(&mut self, failure: &Failure, now: Instant) -> Option<LogLine> {
        if self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < REPEAT) {
            self.unlogged += 1;
            return None;
        }
        let more = match std::mem::take(&mut self.unlogged) {
            0 => String::new(),
            more => format!(" ({more} more since the last such line)"),
        };
        self.logged = Some(now);
        let (code, message) = (failure.kind.code, &failure.message);
        let message = format!("an event failed, and nobody asked for its result: {code}: {message}{more}");
        Some(LogLine::new(Level::Error, LogEvent::PublishFailed, message))
    }
}

/// The call of an outcome. At its deadline the caller hears of it, and the slot stays taken until the delivery report comes.
fn take(open: &mut Slab<Arc<Call>>, slot: u32, outcome: EventOutcome) -> Option<(Arc<Call>, CallOutcome)> {
    let slot = slot as usize;
    match outcome {
        EventOutcome::Delivered(stored) => open.try_remove(slot).map(|call| (call, Ok(stored))),
        EventOutcome::Failed(failure) => open.try_remove(slot).map(|call| (call, Err(failure))),
        EventOutcome::Overdue(failure) => open.get(slot).map(|call| (Arc::clone(call), Err(failure))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::failure::{Class, Kind};

    #[test]
    fn an_event_that_fails_at_its_deadline_and_again_by_its_report_failed_once() {
        let failed =
            || METRICS.failed().filter(|(class, _)| *class == Class::Configuration).map(|(_, count)| count).sum();
        let before: u64 = failed();
        let calls = Calls::new(Arc::default());
        let (call, ticket) = calls.begin();
        let failure = || Box::new(Failure::new(Kind::CONFIGURATION, "of no other test"));
        calls.settle_all(&mut vec![Outcome::Event(ticket.slot(), EventOutcome::Overdue(failure()))]);
        assert!(call.is_settled());
        calls.settle_all(&mut vec![Outcome::Event(ticket.slot(), EventOutcome::Failed(failure()))]);
        assert_eq!((failed() - before, lock(&calls.open).len()), (1, 0));
    }

    #[test]
    fn a_failure_is_logged_and_then_every_thirty_seconds_with_a_count() {
        let (mut unheard, now) = (Unheard::default(), Instant::now());
        let failure = Failure::new(Kind::TIMEOUT, "late");
        let text = |line: Option<LogLine>| line.map(|line| line.message).unwrap_or_default();
        let first = "an event failed, and nobody asked for its result: REQUEST_TIMED_OUT: late";
        assert_eq!(text(unheard.line(&failure, now)), first);
        assert!(unheard.line(&failure, now).is_none());
        assert!(unheard.line(&failure, now + REPEAT / 2).is_none());
        assert_eq!(text(unheard.line(&failure, now + REPEAT)), format!("{first} (2 more since the last such line)"));
        assert_eq!(text(unheard.line(&failure, now + REPEAT * 2)), first);
    }
}
