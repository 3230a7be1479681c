//! The way out: from the caller to librdkafka, at once, or through the backlog.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::backlog::{Backlog, Expired, Handoff, Obstacle};
use super::counters::{Counters, Counts};
use super::gate::{self, Gate};
use super::owned_record::{LateValue, OwnedRecord};
use super::settings::{Limits, Settings};
use crate::handover::Ticket;
use crate::kafka::failure::{Class, Failure, Kind};
use crate::kafka::librdkafka::{Client, Code, Record, Refused};

/// Where an event is when it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is queued, and will be delivered.
    Queued,
    /// It waits for space in librdkafka's queue, and can be withdrawn.
    Waiting,
}

/// Why a record is not accepted.
pub(super) enum Refusal {
    /// It is larger than `max_request_size`.
    TooLarge,
    /// librdkafka does not take it.
    Code(Code),
    /// There is no client, and it is not known when there will be one.
    NoClient(Arc<Failure>),
}

/// The delivery reports of one batch, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReportedBatch {
    pub(super) reports: usize,
    /// Bytes of keys and values.
    pub(super) bytes: usize,
    /// How long librdkafka had the last message.
    pub(super) latency: Duration,
}

/// librdkafka's client, the gate and the backlog before it, and the counters of what passes.
pub(super) struct Pipeline {
    client: RwLock<Slot>,
    gate: Gate,
    backlog: Backlog,
    counters: Counters,
    limits: Limits,
}

enum Slot {
    /// A client is about to be built: events wait.
    Empty,
    Client(Arc<Client>),
    /// Events are refused until the next client is built.
    Lost(Arc<Failure>),
}

impl Pipeline {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            client: RwLock::new(Slot::Empty),
            gate: Gate::new(settings.is_adaptive()),
            backlog: Backlog::new(settings.time_limit()),
            counters: Counters::default(),
            limits: settings.limits(),
        }
    }

    pub(super) fn client(&self) -> Option<Arc<Client>> {
        match &*self.client.read() {
            Slot::Client(client) => Some(Arc::clone(client)),
            Slot::Empty | Slot::Lost(_) => None,
        }
    }

    pub(super) fn install(&self, client: Arc<Client>) {
        *self.client.write() = Slot::Client(client);
    }

    /// Takes the client out; events wait until the next one is installed.
    pub(super) fn remove_client(&self) -> Option<Arc<Client>> {
        match std::mem::replace(&mut *self.client.write(), Slot::Empty) {
            Slot::Client(client) => Some(client),
            Slot::Empty | Slot::Lost(_) => None,
        }
    }

    /// Refuses events until the next client is installed, and takes the present one out.
    pub(super) fn refuse_events(&self, failure: Failure) -> Option<Arc<Client>> {
        match std::mem::replace(&mut *self.client.write(), Slot::Lost(Arc::new(failure))) {
            Slot::Client(client) => Some(client),
            Slot::Empty | Slot::Lost(_) => None,
        }
    }

    /// Why events are refused, if they are.
    pub(super) fn refusal(&self) -> Option<Arc<Failure>> {
        match &*self.client.read() {
            Slot::Lost(failure) => Some(Arc::clone(failure)),
            Slot::Empty | Slot::Client(_) => None,
        }
    }

    /// Accepts a record, or refuses it. A large value that has to wait is kept by `keep`. Draining the backlog may refuse
    /// other records: `refuse` gets them.
    pub(super) fn enqueue(
        &self,
        record: &Record<'_>,
        ticket: Ticket,
        keep: impl FnOnce() -> Option<Box<dyn LateValue>>,
        refuse: impl FnMut(&Record<'_>, Ticket, Refusal),
    ) -> Result<Accepted, Refusal> {
        let mut has_to_wait = false;
        if self.backlog.is_empty() && self.gate.is_open() {
            match self.offer(record, ticket) {
                Handoff::Taken => {
                    self.counters.accept();
                    return Ok(Accepted::Queued);
                }
                Handoff::Wait(obstacle) => has_to_wait = obstacle != Obstacle::Topic,
                Handoff::Refused(refusal) => return Err(refusal),
            }
        }
        if record.wire_size() > self.limits.event_bytes {
            return Err(Refusal::TooLarge);
        }
        let has_to_wait = has_to_wait || self.backlog.met_no_space() || self.is_full();
        self.counters.accept();
        if self.backlog.push(OwnedRecord::new(record, keep), ticket, has_to_wait, Instant::now()) {
            self.wake_poller();
        }
        let is_wave = !has_to_wait && (self.gate.is_open() || self.backlog.len() >= gate::MANY);
        // Without a client no poller drains: what waits is refused here.
        if is_wave || self.is_lost() {
            self.drain(refuse);
        }
        Ok(if has_to_wait { Accepted::Waiting } else { Accepted::Queued })
    }

    /// Offers a record to librdkafka.
    fn offer(&self, record: &Record<'_>, ticket: Ticket) -> Handoff<Refusal> {
        let slot = self.client.read();
        let client = match &*slot {
            Slot::Client(client) => client,
            Slot::Empty => return Handoff::Wait(Obstacle::Client),
            Slot::Lost(failure) => return Handoff::Refused(Refusal::NoClient(Arc::clone(failure))),
        };
        let bytes = record.key.len() + record.payload.len();
        self.gate.enter();
        self.counters.take(bytes);
        let Err(refused) = client.produce(record, ticket.to_bits()) else { return Handoff::Taken };
        self.gate.turn_back();
        self.counters.release(bytes);
        match refused {
            Refused::TopicFull => Handoff::Wait(Obstacle::Topic),
            Refused::Code(Code::QueueFull) => Handoff::Wait(Obstacle::Queue),
            // The next client takes the record, as soon as the supervisor has heard of it.
            Refused::Code(code) if Kind::of(code).class == Class::Fatal => Handoff::Wait(Obstacle::Client),
            Refused::Code(Code::MessageSizeTooLarge) => Handoff::Refused(Refusal::TooLarge),
            Refused::Code(code) => Handoff::Refused(Refusal::Code(code)),
        }
    }

    /// Whether one more event would have to wait for space in the queue.
    pub(super) fn is_full(&self) -> bool {
        self.backlog.met_full_queue() || self.counts().outstanding() >= self.limits.events as u64
    }

    /// Hands over as much of the backlog as possible.
    pub(super) fn drain(&self, mut refuse: impl FnMut(&Record<'_>, Ticket, Refusal)) {
        loop {
            let drained = self.backlog.drain(
                Instant::now(),
                |record, ticket| self.offer(record, ticket),
                |record, ticket, refusal| {
                    self.counters.settle(0, 1);
                    refuse(record, ticket, refusal);
                },
            );
            // An event that arrived meanwhile found this thread draining, and nobody else refuses it.
            if !drained || self.backlog.is_empty() || !self.is_lost() {
                return;
            }
        }
    }

    /// Whether events are refused because there is no client.
    fn is_lost(&self) -> bool {
        self.refusal().is_some()
    }

    /// Does what is due now: drains the backlog when the gate allows it, and takes out what is past its deadline.
    pub(super) fn tick(&self, is_closing: bool, refuse: impl FnMut(&Record<'_>, Ticket, Refusal)) -> Expired {
        if self.backlog.is_idle() {
            return Expired::default();
        }
        if is_closing || self.is_drain_due() {
            self.drain(refuse);
        }
        let expired = self.backlog.expire(Instant::now());
        self.counters.settle(0, expired.waiting.len() as u64);
        expired
    }

    /// Drain when the gate is open, or when the first event has waited long enough behind those in flight.
    fn is_drain_due(&self) -> bool {
        let waited_enough = || self.backlog.waits_since().is_some_and(|since| since.elapsed() >= self.gate.patience());
        self.gate.is_open() || waited_enough()
    }

    /// Takes events back that still wait; returns those of them that are neither queued nor settled.
    pub(super) fn withdraw(&self, tickets: &HashSet<Ticket>) -> Vec<Ticket> {
        let withdrawn = self.backlog.withdraw(tickets);
        self.counters.settle(0, withdrawn.len() as u64);
        withdrawn
    }

    /// Gives up every event that still waits.
    pub(super) fn clear_backlog(&self) -> Vec<Ticket> {
        let waiting = self.backlog.clear();
        self.counters.settle(0, waiting.len() as u64);
        waiting
    }

    /// Whether the last attempt to hand an event over met a full queue.
    pub(super) fn met_full_queue(&self) -> bool {
        self.backlog.met_full_queue()
    }

    /// A delivery report came: the event's deadline is watched no more.
    pub(super) fn forget_deadline(&self, ticket: Ticket) {
        self.backlog.forget(ticket);
    }

    /// So many events are acknowledged, and so many failed, by their delivery reports.
    pub(super) fn settle(&self, delivered: u64, failed: u64) {
        self.counters.settle(delivered, failed);
    }

    /// All delivery reports of a batch came. Returns whether the event loop has its turn before more events go.
    pub(super) fn end_batch(&self, batch: ReportedBatch, has_loop: bool) -> bool {
        self.counters.release(batch.bytes);
        self.gate.leave(batch.reports, batch.latency);
        // After a lone event no wave is to be expected.
        let is_lone = batch.reports == 1 && self.counts().outstanding() <= 1;
        let is_turn = has_loop && !is_lone && self.gate.is_turn_due();
        if is_turn {
            self.gate.begin_turn();
        }
        is_turn
    }

    /// Whether the event loop's turn has lasted long enough.
    pub(super) fn is_turn_over(&self) -> bool {
        self.gate.is_turn_over()
    }

    /// The event loop has settled everything: what it published meanwhile may go.
    pub(super) fn end_turn(&self, refuse: impl FnMut(&Record<'_>, Ticket, Refusal)) {
        self.gate.end_turn();
        if !self.backlog.is_empty() {
            self.drain(refuse);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// Events in the backlog.
    pub(super) fn waiting(&self) -> u64 {
        self.backlog.len() as u64
    }

    /// Events that librdkafka holds.
    pub(super) fn in_flight(&self) -> u64 {
        self.counts().outstanding().saturating_sub(self.waiting())
    }

    /// Bytes of the keys and values that librdkafka holds.
    pub(super) fn bytes(&self) -> u64 {
        self.counters.bytes()
    }

    /// Whether neither the backlog nor a deadline needs the poller.
    pub(super) fn is_idle(&self) -> bool {
        self.backlog.is_idle()
    }

    /// Whether the backlog waits for a delivery report, and so for librdkafka, rather than for the clock.
    pub(super) fn waits_for_report(&self) -> bool {
        self.gate.is_open() || self.backlog.is_blocked()
    }

    /// Whether the poller may sleep until an event waits.
    pub(super) fn let_poller_sleep(&self) -> bool {
        self.backlog.let_poller_sleep()
    }

    /// The poller is awake.
    pub(super) fn end_sleep(&self) {
        self.backlog.end_sleep();
    }

    fn wake_poller(&self) {
        if let Some(client) = self.client() {
            client.wake();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::super::settings::tests::settings;
    use super::*;

    const RECORD: Record<'static> = Record { topic: "events", key: b"k", payload: b"p", headers: &[] };

    fn lost_after_one_event() -> Pipeline {
        let pipeline = Pipeline::new(&settings("a:1", &serde_json::json!({})));
        let accepted = pipeline.enqueue(&RECORD, Ticket::new(1, 0), || None, |_, _, _| unreachable!());
        assert!(matches!(accepted, Ok(Accepted::Waiting)), "there is no client yet");
        pipeline.drain(|_, _, _| unreachable!());
        assert!(pipeline.backlog.met_no_space() && !pipeline.is_full());
        pipeline.refuse_events(Failure::new(Kind::FATAL, "dead"));
        pipeline
    }

    #[test]
    fn without_a_client_an_event_that_arrives_during_a_drain_is_refused_as_well() {
        let pipeline = lost_after_one_event();
        let refused = RefCell::new(Vec::new());
        pipeline.drain(|_, ticket, _| {
            if refused.borrow().is_empty() {
                // Another thread, while this one drains.
                let late = pipeline.enqueue(&RECORD, Ticket::new(1, 1), || None, |_, _, _| unreachable!());
                assert!(late.is_ok());
            }
            refused.borrow_mut().push(ticket.slot());
        });
        assert_eq!((refused.into_inner(), pipeline.waiting()), (vec![0, 1], 0));
    }

    #[test]
    fn without_a_client_the_next_event_refuses_what_was_left_behind() {
        let pipeline = lost_after_one_event();
        let mut refused = Vec::new();
        let last = pipeline.enqueue(&RECORD, Ticket::new(1, 1), || None, |_, ticket, _| refused.push(ticket.slot()));
        assert!(last.is_ok(), "it stands behind the other one");
        assert_eq!((refused, pipeline.waiting(), pipeline.counts().outstanding()), (vec![0, 1], 0, 0));
    }
}
