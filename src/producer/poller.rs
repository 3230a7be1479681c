//! The thread that listens to one librdkafka client: delivery reports, errors, log lines.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::broker_statistics::Totals;
use super::core::Core;
use super::metrics::METRICS;
use super::outcome::{EventOutcome, Outcome};
use super::pipeline::ReportedBatch;
use super::recipient::Recipient;
use super::status::{Death, Generation};
use crate::handover::{OnSettled, Ticket};
use crate::kafka::failure::{Class, Failure, Kind};
use crate::kafka::librdkafka::{Client, ClientError, Code, DeliveryReport, DeliveryReports, Event};
use crate::kafka::log_line::{Level, LogEvent, LogLine};

/// Longest sleep while events wait for a delivery report; deadlines in the backlog are as exact as this.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);
/// Longest sleep while events wait behind a closed gate: the shortest that librdkafka knows.
const GATED_POLL_TIMEOUT: Duration = Duration::from_millis(1);
/// Longest sleep of an idle producer, which is woken when an event waits.
const IDLE_POLL_TIMEOUT: Duration = Duration::from_secs(1);
/// Polls in a row without an event after which a producer counts as idle.
const POLLS_UNTIL_IDLE: u32 = 20;

/// The thread of one client, as the supervisor holds it.
pub(super) struct Poller {
    generation: Generation,
    // The thread owns the client: destroying it may take a while.
    client: Weak<Client>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Poller {
    /// Starts the thread.
    pub(super) fn spawn(core: &Arc<Core>, client: Arc<Client>, generation: Generation) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let weak = Arc::downgrade(&client);
        let listener = Listener::new(Arc::clone(core), client, generation);
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("kafka-email-poll".into()).spawn(move || listener.run(&stopped))?;
        Ok(Self { generation, client: weak, stop, thread })
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Lets the thread end as soon as its client holds no message any more.
    pub(super) fn retire(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(client) = self.client.upgrade() {
            client.wake();
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end of the thread, and of the client if nobody else has it.
    pub(super) fn join(self) {
        // A panic in the thread was reported when it happened; here only the end matters.
        let _ = self.thread.join();
    }
}

struct Listener {
    core: Arc<Core>,
    client: Arc<Client>,
    generation: Generation,
    /// Why the client died, if it did.
    death: Option<Failure>,
    /// Messages of this client that were sent and reported.
    ended: u64,
    totals: Totals,
    polls_without_event: u32,
}

impl Listener {
    fn new(core: Arc<Core>, client: Arc<Client>, generation: Generation) -> Self {
        Self { core, client, generation, death: None, ended: 0, totals: Totals::default(), polls_without_event: 0 }
    }

    fn run(mut self, stop: &AtomicBool) {
        let mut reports = Reports::default();
        while !stop.load(Ordering::Acquire) || self.client.outstanding() > 0 {
            match self.poll(stop) {
                Some(event) => {
                    self.polls_without_event = 0;
                    self.on_event(event, &mut reports);
                }
                None => self.polls_without_event = self.polls_without_event.saturating_add(1),
            }
            self.core.tick();
        }
    }

    fn poll(&self, stop: &AtomicBool) -> Option<Event> {
        let pipeline = self.core.pipeline();
        let is_retired = || stop.load(Ordering::Acquire);
        if pipeline.is_idle() && self.polls_without_event >= POLLS_UNTIL_IDLE && !is_retired() {
            let may_sleep = pipeline.let_poller_sleep() && !is_retired();
            let event = self.client.poll(if may_sleep { IDLE_POLL_TIMEOUT } else { Duration::ZERO });
            if !is_retired() {
                pipeline.end_sleep();
            }
            return event;
        }
        // Queue full: the next delivery report wakes us, so poll long. Gate closed: its time limit passes without a
        // report, so poll short.
        self.client.poll(if pipeline.waits_for_report() { POLL_TIMEOUT } else { GATED_POLL_TIMEOUT })
    }

    fn on_event(&mut self, event: Event, reports: &mut Reports) {
        match event {
            Event::Delivered(delivered) => self.on_reports(delivered, reports),
            Event::Failed(error) => self.on_error(&error),
            Event::Logged(line) => self.on_log_line(&line),
            Event::Statistics(json) => self.core.brokers().update(&json, self.ended, &mut self.totals),
            Event::TokenWanted => self.core.show_token(&self.client),
        }
    }

    fn on_reports(&mut self, delivered: DeliveryReports, reports: &mut Reports) {
        let mut batch = ReportedBatch::default();
        let counts_room = self.client.counts_room();
        let mut opaques = Vec::new();
        let mut too_large = 0;
        for report in delivered {
            let ticket = Ticket::from_bits(report.opaque);
            self.core.pipeline().forget_deadline(ticket);
            if counts_room {
                opaques.push(report.opaque);
            }
            batch.reports += 1;
            batch.bytes += report.bytes;
            batch.latency = report.latency;
            self.ended += u64::from(report.was_sent());
            if reports.recipient_id() != Some(ticket.queue()) {
                reports.send(&self.core, None);
                reports.recipient = self.core.loops().recipient(ticket.queue());
            }
            if report.is_delivered() {
                reports.delivered += 1;
                METRICS.latency.record(u64::try_from(report.latency.as_micros()).unwrap_or(u64::MAX));
            } else {
                reports.failed += 1;
                too_large += usize::from(Kind::of(report.code).class == Class::MessageTooLarge);
                if too_large == 2 {
                    self.client.note_refused_batch(report.topic.as_deref().unwrap_or_default());
                }
            }
            reports.outcomes.push(Outcome::Event(ticket.slot(), self.outcome_of(&report)));
        }
        if counts_room {
            self.client.give_room_back(&opaques);
        }
        if reports.delivered > 0 {
            self.core.status().note_acknowledgement(self.generation);
            METRICS.batches.record(batch.reports as u64);
        }
        let has_loop = reports.recipient.as_ref().is_some_and(Recipient::has_turns);
        let has_turn = self.core.pipeline().end_batch(batch, has_loop);
        let on_settled = has_turn.then(|| Arc::clone(&self.core) as Arc<dyn OnSettled>);
        reports.send(&self.core, on_settled);
        // Forget the loop: it may be closed before the next batch comes.
        reports.recipient = None;
    }

    fn outcome_of(&self, report: &DeliveryReport) -> EventOutcome {
        if report.is_delivered() {
            return EventOutcome::Delivered(report.acknowledgement);
        }
        let topic = report.topic.as_deref().unwrap_or_default();
        self.client.note_failed(topic);
        let failure = if report.never_had_a_partition() && self.client.is_missing(topic) {
            self.core.status().failure(Code::UnknownTopic, topic)
        } else {
            self.failure_of(report.code, topic)
        };
        EventOutcome::Failed(Box::new(failure.maybe_delivered(report.maybe_delivered)))
    }

    fn failure_of(&self, code: Code, topic: &str) -> Failure {
        let status = self.core.status();
        let failure = match &self.death {
            // The event failed because its client died.
            Some(death) if matches!(code, Code::PurgeQueue | Code::PurgeInflight | Code::Fatal) => death.clone(),
            // The producer gave its client up.
            None if matches!(code, Code::PurgeQueue | Code::PurgeInflight) => {
                let refusal = self.core.pipeline().refusal();
                refusal.map_or_else(|| status.failure(code, topic), |refusal| Failure::clone(&refusal))
            }
            _ => status.failure(code, topic),
        };
        if failure.may_pass_with_a_probe() {
            status.raise_alarm();
        }
        failure
    }

    fn on_error(&mut self, error: &ClientError) {
        let status = self.core.status();
        // A client that could not start one of its threads is as dead as one with a fatal error.
        if error.is_fatal || error.code == Code::CriticalSystemResource {
            let failure = status.fatal(error);
            self.death.get_or_insert_with(|| failure.clone());
            return status.report_death(Death { generation: self.generation, failure, reason: status.reason(error) });
        }
        status.note_broker_error(error);
    }

    fn on_log_line(&self, line: &str) {
        if self.core.logs_librdkafka() {
            let message = self.core.status().broker_errors().scrub(line);
            self.core.loops().log(LogLine::new(Level::Debug, LogEvent::Librdkafka, message));
        }
    }
}

/// The outcomes in a batch of delivery reports, collected so that each loop is woken once.
#[derive(Default)]
struct Reports {
    recipient: Option<Recipient>,
    outcomes: Vec<Outcome>,
    delivered: u64,
    failed: u64,
}

impl Reports {
    fn recipient_id(&self) -> Option<u32> {
        self.recipient.as_ref().map(Recipient::id)
    }

    /// Sends the outcomes so far to whoever waits for them. A loop may have its turn to settle them: see [`OnSettled`].
    fn send(&mut self, core: &Core, on_settled: Option<Arc<dyn OnSettled>>) {
        // Count first: a caller that has its outcome must find it in the counters.
        core.pipeline().settle(self.delivered, self.failed);
        (self.delivered, self.failed) = (0, 0);
        match &self.recipient {
            Some(recipient) => recipient.settle(&mut self.outcomes, on_settled),
            None => self.outcomes.clear(),
        }
    }
}
