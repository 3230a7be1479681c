//! The producer that the Python face holds a handle of: one owner of librdkafka's client, its threads and its queue.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::mpsc::{unbounded_channel, UnboundedSender};
use tokio::sync::Notify;

use crate::handover::handover::Turn;
use crate::kafka::broker_errors::Trouble;
use crate::kafka::failure::{Class, Failure, Kind};
use crate::kafka::librdkafka::client::Native;
use crate::kafka::librdkafka::record::Record;
use crate::kafka::librdkafka::token::{Token, TokenCell};
use crate::kafka::log_line::Notice;
use crate::producer::backlog::Backlog;
use crate::producer::broker_statistics::Brokers;
use crate::producer::counters::Statistics;
use crate::producer::gate::{self, Gate};
use crate::producer::metrics::Gauges;
use crate::producer::outcome::{Outcome, OutcomeQueue, Ticket};
use crate::producer::settings::{Limits, Settings};
use crate::producer::shutdown::{Reporter, Stop, StopReport};
use crate::producer::status::closed;
use crate::producer::supervisor::{self, Command};

/// How far an event got when it was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is in librdkafka's queue, and will be delivered.
    Queued,
    /// It waits for space in that queue, and can be withdrawn.
    Waiting,
}

/// Handle of a producer. When the last handle goes without a stop, the producer flushes and closes by itself.
pub struct Producer {
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
}

/// What the handle, the supervisor and the polling thread share.
pub(super) struct Shared {
    pub settings: Settings,
    pub native: RwLock<Option<Arc<Native>>>,
    pub limits: Limits,
    pub gate: Gate,
    pub backlog: Backlog,
    pub statistics: Statistics,
    pub brokers: Brokers,
    pub trouble: Trouble,
    pub token: TokenCell,
    pub is_connected: AtomicBool,
    /// Whether a broker ever told about the cluster.
    pub has_answered: AtomicBool,
    pub is_closing: AtomicBool,
    /// Milliseconds since `opened` at the last acknowledgement.
    pub acknowledged_at_ms: AtomicU64,
    pub opened: Instant,
    /// Rung when the supervisor should look: a lasting error, or a fatal one.
    pub alarm: Notify,
    pub is_fatal: AtomicBool,
    pub log_native: bool,
    queues: RwLock<Vec<(u32, Weak<OutcomeQueue>)>>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Producer {
    /// Opens a producer; connecting goes on in its own thread, and [`Producer::started`] tells when it is done.
    ///
    /// `log_native` lets librdkafka's own log lines through, as notices; `token` is the first one for OAUTHBEARER;
    /// `queue` is where the first notices go.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn open(
        settings: Settings,
        log_native: bool,
        token: Option<Token>,
        queue: &Arc<OutcomeQueue>,
    ) -> io::Result<Self> {
        let (commands, inbox) = unbounded_channel();
        let shared = Arc::new(Shared {
            trouble: Trouble::new(settings.secrets()),
            gate: Gate::new(settings.adaptive),
            backlog: Backlog::new(settings.deadline()),
            limits: settings.limits(),
            settings,
            log_native,
            native: RwLock::default(),
            statistics: Statistics::default(),
            brokers: Brokers::default(),
            token: TokenCell::new(token),
            is_connected: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            acknowledged_at_ms: AtomicU64::new(0),
            opened: Instant::now(),
            alarm: Notify::new(),
            is_fatal: AtomicBool::new(false),
            queues: RwLock::new(vec![(queue.id(), Arc::downgrade(queue))]),
            threads: Mutex::default(),
        });
        supervisor::spawn(Arc::clone(&shared), inbox)?;
        Ok(Self { shared, commands })
    }

    /// Lets outcomes go to this queue, for as long as it exists; outcomes for one that is gone are only counted.
    pub fn attach(&self, queue: &Arc<OutcomeQueue>) {
        let queues = &self.shared.queues;
        if !queues.read().iter().any(|(id, _)| *id == queue.id()) {
            let mut queues = queues.write();
            queues.retain(|(_, queue)| queue.strong_count() > 0);
            queues.push((queue.id(), Arc::downgrade(queue)));
        }
    }

    /// Takes a record over; its outcome will come to the ticket.
    ///
    /// A full queue is waited for, in the order of the calls and within the deadline of the publish.
    ///
    /// # Errors
    /// At once, with nothing taken over: too large, unknown topic, closed.
    pub fn enqueue(&self, record: &Record<'_>, ticket: Ticket) -> Result<Accepted, Failure> {
        let shared = &*self.shared;
        if shared.is_closing.load(Ordering::Acquire) {
            return Err(closed());
        }
        let mut is_refused = false;
        if shared.backlog.is_empty() && shared.gate.is_open() {
            match shared.produce(record, ticket) {
                Ok(()) => {
                    shared.statistics.accept();
                    return Ok(Accepted::Queued);
                }
                Err(Code::QueueFull) => is_refused = true,
                Err(code) => return Err(shared.refusal(code, record)),
            }
        } else if record.wire_size() > shared.limits.event_bytes {
            return Err(shared.refusal(Code::MessageSizeTooLarge, record));
        }
        let is_full = is_refused || shared.is_full();
        shared.statistics.accept();
        shared.backlog.push(record, ticket, Instant::now());
        if !is_full && (shared.gate.is_open() || shared.backlog.len() >= gate::MANY) {
            shared.drain_backlog();
        }
        Ok(if is_full { Accepted::Waiting } else { Accepted::Queued })
    }

    /// Takes events back that still wait for space in the queue; returns those that are not queued or settled already.
    pub fn withdraw(&self, tickets: &HashSet<Ticket>) -> Vec<Ticket> {
        let withdrawn = self.shared.backlog.withdraw(tickets);
        self.shared.statistics.settle(0, withdrawn.len() as u64);
        withdrawn
    }

    /// Asks to be told when the first connection is made, or has failed.
    pub fn started(&self, ticket: Ticket) {
        self.command(Command::Started(ticket), ticket);
    }

    /// Asks for a health report within `timeout`.
    pub fn health(&self, ticket: Ticket, timeout: Duration) {
        self.command(Command::Health(ticket, Instant::now() + timeout), ticket);
    }

    /// Refuses new events, flushes within `timeout`, releases everything, and reports.
    pub fn stop(&self, ticket: Ticket, timeout: Duration) {
        let shared = Arc::clone(&self.shared);
        let reporter = Box::new(move |report| shared.push(ticket, Outcome::Stopped(report)));
        if self.commands.send(Command::Stop(self.shared.stop(timeout, reporter))).is_err() {
            self.shared.push(ticket, Outcome::Stopped(StopReport::default()));
        }
    }

    /// As [`Producer::stop`], for a thread that may wait: the one that ends the process. None when it took too long.
    pub fn stop_and_wait(&self, timeout: Duration, patience: Duration) -> Option<StopReport> {
        let (done, report_of) = mpsc::channel();
        let reporter = Box::new(move |report| {
            // Nobody listens any more when it took too long.
            let _ = done.send(report);
        });
        self.commands.send(Command::Stop(self.shared.stop(timeout, reporter))).ok()?;
        report_of.recv_timeout(patience).ok()
    }

    /// Supplies the OAUTHBEARER token that librdkafka gets when it asks.
    pub fn set_token(&self, token: Token) {
        self.shared.token.set(token);
        if let Some(native) = &*self.shared.native.read() {
            self.shared.token.show(|token| native.set_token(token));
        }
    }

    /// Whether the cluster answered lately. No I/O.
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected.load(Ordering::Acquire) && !self.shared.is_closing.load(Ordering::Acquire)
    }

    /// Events taken over whose fate is still open.
    pub fn outstanding(&self) -> u64 {
        self.shared.statistics.counts().outstanding()
    }

    /// What there is to see of the producer at this moment.
    pub fn gauges(&self) -> Gauges {
        let waiting = self.shared.backlog.len() as u64;
        Gauges {
            waiting,
            in_flight: self.outstanding().saturating_sub(waiting),
            bytes: self.shared.statistics.bytes(),
            round_trips: self.shared.brokers.round_trips(),
        }
    }

    /// Gives the producer up: closes at once, in the background, and tells nobody.
    pub fn abandon(&self) {
        // Without a receiver the producer is closed already.
        let _ = self.commands.send(Command::Stop(self.shared.stop(Duration::ZERO, Box::new(drop))));
    }

    fn command(&self, command: Command, ticket: Ticket) {
        if self.commands.send(command).is_err() {
            self.shared.push(ticket, Outcome::Failed(Box::new(closed())));
        }
    }
}

impl Shared {
    /// Hands a record to librdkafka.
    pub fn produce(&self, record: &Record<'_>, ticket: Ticket) -> Result<(), Code> {
        // Until librdkafka's client is built, and from its fatal error until it is built anew, events wait as behind a
        // full queue.
        let native = self.native.read();
        let Some(native) = native.as_ref() else { return Err(Code::QueueFull) };
        let bytes = record.key.len() + record.payload.len();
        self.gate.enter();
        self.statistics.take(bytes);
        native.produce(record, ticket).map_err(|code| {
            self.gate.turn_back();
            self.statistics.release(bytes);
            if Kind::of(code).class == Class::Fatal {
                Code::QueueFull
            } else {
                code
            }
        })
    }

    /// Queues what waits.
    pub fn drain_backlog(&self) {
        self.backlog.drain(
            Instant::now(),
            |record, ticket| self.produce(record, ticket),
            |record, ticket, code| {
                self.statistics.settle(0, 1);
                self.push(ticket, Outcome::Failed(Box::new(self.refusal(code, record))));
            },
        );
    }

    /// Whether one more event would have to wait for space in the queue.
    fn is_full(&self) -> bool {
        self.backlog.is_blocked() || self.statistics.counts().outstanding() >= self.limits.events as u64
    }

    /// Gives an outcome to the one who waits for it.
    pub fn push(&self, ticket: Ticket, outcome: Outcome) {
        if let Some(queue) = self.queue(ticket.queue()) {
            queue.push(ticket.slot(), outcome);
        }
    }

    /// The queue of a loop, unless that loop is gone.
    pub fn queue(&self, id: u32) -> Option<Arc<OutcomeQueue>> {
        self.queues.read().iter().find(|(attached, _)| *attached == id).and_then(|(_, queue)| queue.upgrade())
    }

    /// Says something in the application's log, through the loop that joined last.
    pub fn say(&self, notice: Notice) {
        let queue = self.queues.read().iter().rev().find_map(|(_, queue)| queue.upgrade());
        if let Some(queue) = queue {
            queue.notice(notice);
        }
    }

    /// Refuses new events from now on; what is under way now will be reported.
    pub fn stop(&self, timeout: Duration, reporter: Reporter) -> Stop {
        self.is_closing.store(true, Ordering::Release);
        Stop { timeout, before: self.statistics.counts(), asked: Instant::now(), reporter }
    }

    /// Remembers a thread to wait for at the end.
    pub fn adopt(&self, thread: std::thread::JoinHandle<()>) {
        self.threads.lock().push(thread);
    }

    /// Waits for the threads; they end once they are told to.
    pub fn join_threads(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A panic there was reported when it happened; here only the end matters.
            let _ = thread.join();
        }
    }
}

impl Turn for Shared {
    fn is_over(&self) -> bool {
        self.gate.is_turn_over()
    }

    fn end(&self) {
        self.gate.end_turn();
        if !self.backlog.is_empty() {
            self.drain_backlog();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::thread::sleep;

    use super::*;
    use crate::testing::embedded_broker::EmbeddedBroker;

    const TOPIC: &str = "events";

    /// The configuration as the Python face hands it over.
    fn settings(servers: &str) -> Settings {
        serde_json::from_value(serde_json::json!({
            "bootstrap_servers": servers, "client_id": "test", "email_topic": TOPIC, "compression_type": "gzip",
            "acks": "all", "retries": 3, "max_in_flight_requests": 5, "adaptive": true, "linger_ms": 10.0,
            "batch_size": 16384, "request_timeout_ms": 5000, "max_request_size": 1_048_576, "queue_max_messages": 2,
            "queue_max_bytes": 1_048_576, "security_protocol": "PLAINTEXT", "producer_options": {},
            "max_connection_attempts": 1, "retry_delay_ms": 10, "required": true,
        }))
        .unwrap()
    }

    /// What an event loop would do: wait for the next outcomes.
    fn outcomes(queue: &OutcomeQueue, count: usize) -> Vec<(u32, Outcome)> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} outcomes came", outcomes.len());
            sleep(Duration::from_millis(1));
            queue.handover().begin(true);
            outcomes.extend(std::iter::from_fn(|| queue.handover().next()));
            queue.handover().end();
        }
        outcomes
    }

    #[test]
    fn events_of_one_key_are_stored_in_order_through_a_full_queue() {
        let broker = EmbeddedBroker::start(1).unwrap();
        let queue = Arc::new(OutcomeQueue::new().unwrap());
        let producer = Producer::open(settings(broker.bootstrap_servers()), false, None, &queue).unwrap();
        producer.started(Ticket::new(queue.id(), 0));
        assert!(matches!(outcomes(&queue, 1).as_slice(), [(0, Outcome::Started)]));

        let payloads: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        for (slot, payload) in (0..).zip(&payloads) {
            let record = Record { topic: TOPIC, key: b"key", payload: payload.as_bytes(), headers: &[] };
            producer.enqueue(&record, Ticket::new(queue.id(), slot)).unwrap();
        }
        for (expected, (slot, outcome)) in (0..).zip(outcomes(&queue, 50)) {
            let Outcome::Delivered(stored) = outcome else { panic!("event {slot} failed") };
            assert_eq!((slot, stored.offset), (expected, i64::from(expected)));
        }
        let stored = broker.records(TOPIC).unwrap();
        assert!(stored
            .iter()
            .map(|record| record.value.clone().unwrap())
            .eq(payloads.iter().map(|p| p.clone().into_bytes())));

        let report = producer.stop_and_wait(Duration::from_secs(5), Duration::from_secs(10)).unwrap();
        assert_eq!((report.delivered, report.failed), (0, 0));
        let record = Record { topic: TOPIC, key: b"", payload: b"late", headers: &[] };
        assert!(producer.enqueue(&record, Ticket::new(queue.id(), 0)).is_err());
    }
}
