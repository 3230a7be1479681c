//! The thread that listens to librdkafka: delivery reports, errors, log lines.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::handover::handover::Turn;
use crate::kafka::failure::{Class, Failure, Kind};
use crate::kafka::librdkafka::client::{Listener, Native};
use crate::kafka::librdkafka::event::DeliveryReport;
use crate::kafka::log_line::{Level, Notice};
use crate::producer::broker_statistics::Told;
use crate::producer::gate::micros;
use crate::producer::handle::Shared;
use crate::producer::metrics::METRICS;
use crate::producer::outcome::{Outcome, OutcomeQueue};

/// Longest sleep of the thread, and the granularity of deadlines in the backlog.
const NAP: Duration = Duration::from_millis(50);
/// Sleep while events may have to wait for those in flight: the shortest that librdkafka knows.
const SHORT_NAP: Duration = Duration::from_millis(1);

/// Tells the thread of one librdkafka client to end, once that client holds no message any more.
pub struct Retirement(Arc<AtomicBool>);

impl Retirement {
    /// No more messages will be queued.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Starts the thread of a client. It also brings the client to its end: destroying it may take a while.
pub fn spawn(shared: &Arc<Shared>, native: Arc<Native>) -> io::Result<Retirement> {
    let retired = Arc::new(AtomicBool::new(false));
    let thread = {
        let (shared, retired) = (Arc::clone(shared), Arc::clone(&retired));
        thread::Builder::new().name("kafka-email-poll".into()).spawn(move || {
            let mut reporter = Reporter::new(&shared);
            while !retired.load(Ordering::Acquire) || native.outstanding() > 0 {
                // Who waits for space waits for a delivery report as well; at a closed gate patience ends by itself.
                let is_patient = shared.gate.is_open() || shared.backlog.is_blocked();
                native.poll(if is_patient { NAP } else { SHORT_NAP }, &mut reporter);
                look_after_backlog(&shared);
            }
        })?
    };
    shared.adopt(thread);
    Ok(Retirement(retired))
}

fn look_after_backlog(shared: &Shared) {
    if shared.backlog.is_idle() {
        return;
    }
    if is_time_to_queue(shared) {
        shared.drain_backlog();
    }
    let expired = shared.backlog.expire(Instant::now());
    for ticket in expired.waiting {
        shared.statistics.settle(0, 1);
        shared.push(ticket, Outcome::Failed(Box::new(expired_in_line(shared))));
    }
    for ticket in expired.queued {
        let failure = shared.failure(Code::MessageTimedOut, "").maybe_delivered(true);
        shared.push(ticket, Outcome::Overdue(Box::new(failure)));
    }
}

fn expired_in_line(shared: &Shared) -> Failure {
    if !shared.backlog.is_blocked() {
        return shared.failure(Code::MessageTimedOut, "");
    }
    let cause = shared.trouble.text().map_or(String::new(), |cause| format!(" ({cause})"));
    let message = format!(
        "the local queue (queue_max_messages, queue_max_bytes) was full for the whole of request_timeout_ms={}{cause}",
        shared.settings.request_timeout_ms
    );
    Failure::new(Kind::QUEUE_FULL, message)
}

/// Those in the line go when the gate opens, and when those in flight let them wait for too long.
fn is_time_to_queue(shared: &Shared) -> bool {
    let waited_enough = || shared.backlog.waits_since().is_some_and(|since| since.elapsed() >= shared.gate.patience());
    shared.gate.is_open() || shared.is_closing.load(Ordering::Acquire) || waited_enough()
}

/// Collects the delivery reports of a batch, so that each loop is told once.
struct Reporter<'a> {
    shared: &'a Arc<Shared>,
    queue: Option<Arc<OutcomeQueue>>,
    batch: Vec<(u32, Outcome)>,
    delivered: u64,
    failed: u64,
    /// Both, since the last batch.
    reported: usize,
    bytes: usize,
    latency: Duration,
    /// Messages of this client that were sent and reported.
    ended: u64,
    told: Told,
}

impl<'a> Reporter<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            queue: None,
            batch: Vec::new(),
            delivered: 0,
            failed: 0,
            reported: 0,
            bytes: 0,
            latency: Duration::ZERO,
            ended: 0,
            told: Told::default(),
        }
    }

    fn turn_to(&mut self, id: u32) {
        if self.queue.as_ref().is_none_or(|queue| queue.id() != id) {
            self.tell(None);
            self.queue = self.shared.queue(id);
        }
    }

    /// Tells the loop of the events so far; while it settles them, what it publishes gathers (`turn`).
    fn tell(&mut self, turn: Option<Arc<dyn Turn>>) {
        // Counted first: whoever has an outcome finds it in the counters.
        self.shared.statistics.settle(self.delivered, self.failed);
        (self.delivered, self.failed) = (0, 0);
        match &self.queue {
            Some(queue) => queue.append(&mut self.batch, turn),
            None => self.batch.clear(),
        }
    }
}

impl Listener for Reporter<'_> {
    fn delivered(&mut self, report: DeliveryReport) {
        self.shared.backlog.forget(report.ticket);
        self.reported += 1;
        self.turn_to(report.ticket.queue());
        self.bytes += report.bytes;
        self.latency = report.latency;
        self.ended += u64::from(report.was_sent());
        if report.is_delivered() {
            self.delivered += 1;
            METRICS.latency.record(micros(report.latency));
        } else {
            self.failed += 1;
        }
        let outcome = report.outcome(|code, topic| self.shared.failure(code, topic));
        self.batch.push((report.ticket.slot(), outcome));
    }

    fn batch_ended(&mut self) {
        let reported = std::mem::take(&mut self.reported);
        if self.delivered > 0 {
            let now = u64::try_from(self.shared.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.shared.acknowledged_at_ms.store(now, Ordering::Release);
            METRICS.batches.record(reported as u64);
        }
        self.shared.statistics.release(std::mem::take(&mut self.bytes));
        self.shared.gate.leave(reported, self.latency);
        let turn = (self.queue.is_some() && self.shared.gate.is_turn_due()).then(|| {
            self.shared.gate.begin_turn();
            Arc::clone(self.shared) as Arc<dyn Turn>
        });
        self.tell(turn);
        // Forget the loop: it may be closed before the next batch comes.
        self.queue = None;
    }

    fn failed(&mut self, code: Code, reason: &str) {
        self.shared.trouble.note(code, reason);
        if Kind::of(code).class == Class::Fatal {
            self.shared.is_fatal.store(true, Ordering::Release);
        }
        if self.shared.is_fatal.load(Ordering::Acquire)
            || self.shared.trouble.is_lasting()
            || code == Code::AllBrokersDown
        {
            self.shared.alarm.notify_one();
        }
    }

    fn logged(&mut self, line: &str) {
        if self.shared.log_native {
            let message = self.shared.trouble.clean(line);
            self.shared.say(Notice { level: Level::Debug, event: "librdkafka", message });
        }
    }

    fn statistics_told(&mut self, statistics: &str) {
        self.shared.brokers.listen(statistics, self.ended, &mut self.told);
    }

    fn token_wanted(&mut self, client: &Native) {
        self.shared.token.show(|token| client.set_token(token));
    }
}
