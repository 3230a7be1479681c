//! The handle of a producer: what the Python face holds.

use std::collections::HashSet;
use std::io;
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{unbounded_channel, UnboundedSender};

use super::calls::Calls;
use super::closed::closed;
use super::command::Command;
use super::core::Core;
use super::outcome::{Answer, StopReport};
use super::outcome_queue::OutcomeQueue;
use super::owned_record::LateValue;
use super::pipeline::Accepted;
use super::settings::Settings;
use super::supervisor;
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::librdkafka::{Record, Token};

/// Handle of a producer. When the last handle goes without a stop, the producer flushes and closes by itself.
pub(crate) struct Producer {
    core: Arc<Core>,
    commands: UnboundedSender<Command>,
}

/// What there is to see of a producer at one moment, for monitoring.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    /// Events in the backlog.
    pub(crate) waiting: u64,
    /// Events that librdkafka holds: in its queue, or sent and not acknowledged.
    pub(crate) in_flight: u64,
    /// Bytes of their keys and values.
    pub(crate) bytes: u64,
    /// Mean round trip of the last seconds, by the number of the broker.
    pub(crate) round_trips: Vec<(i32, Duration)>,
}

impl Producer {
    /// Opens a producer, which connects in its own thread; [`Producer::started`] answers when it has.
    ///
    /// `logs_librdkafka` lets librdkafka's own log lines through; `token` is the first one for OAUTHBEARER; `queue`, that of
    /// a loop, gets the first log lines.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn open(
        settings: Settings,
        logs_librdkafka: bool,
        token: Option<Token>,
        queue: Option<&Arc<OutcomeQueue>>,
    ) -> io::Result<Self> {
        let (commands, inbox) = unbounded_channel();
        let core = Arc::new(Core::new(settings, logs_librdkafka, token));
        if let Some(queue) = queue {
            core.loops().attach(queue);
        }
        supervisor::spawn(Arc::clone(&core), inbox)?;
        Ok(Self { core, commands })
    }

    /// Sends outcomes to this queue from now on, as long as it exists. Outcomes for a queue that is gone are only
    /// counted.
    pub(crate) fn attach(&self, queue: &Arc<OutcomeQueue>) {
        self.core.loops().attach(queue);
    }

    /// Accepts a record, whose outcome will go to the ticket.
    ///
    /// Records wait for space in a full queue, in the order of the calls and within the deadline of the publish. A large
    /// value that waits is kept by `keep`, or copied if that returns None.
    ///
    /// # Errors
    /// At once, with nothing accepted: too large, unknown topic, closed, no client.
    pub(crate) fn enqueue(
        &self,
        record: &Record<'_>,
        ticket: Ticket,
        keep: impl FnOnce() -> Option<Box<dyn LateValue>>,
    ) -> Result<Accepted, Failure> {
        self.core.enqueue(record, ticket, keep)
    }

    /// The calls of threads that wait without an event loop. Their tickets go to [`Self::enqueue`].
    pub(crate) fn calls(&self) -> &Arc<Calls> {
        self.core.loops().calls()
    }

    /// Why an event has to wait that was accepted as [`Accepted::Waiting`]; None while there is no client yet.
    pub(crate) fn queue_full(&self) -> Option<Failure> {
        self.core.pipeline().is_full().then(|| self.core.status().queue_full("is full"))
    }

    /// Whether the start failed, so that nothing is tried any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.core.status().has_failed()
    }

    /// Largest event, in bytes.
    pub(crate) fn max_event_bytes(&self) -> usize {
        self.core.status().max_event_bytes()
    }

    /// Why an event that was too large to be encoded is not accepted.
    pub(crate) fn too_large(&self) -> Failure {
        self.core.status().too_large("the event")
    }

    /// Takes events back that still wait for space in the queue; returns those that are neither queued nor settled.
    pub(crate) fn withdraw(&self, tickets: &HashSet<Ticket>) -> Vec<Ticket> {
        self.core.pipeline().withdraw(tickets)
    }

    /// Answers when the first connection is made, or has failed.
    pub(crate) fn started(&self, ticket: Ticket) {
        self.command(Command::Start(ticket), ticket);
    }

    /// Answers with the health of producer and cluster, within `timeout`.
    pub(crate) fn health(&self, ticket: Ticket, timeout: Duration) {
        self.command(Command::Health(ticket, Instant::now() + timeout), ticket);
    }

    /// Refuses new events, flushes within `timeout`, releases everything, and answers with a report.
    pub(crate) fn stop(&self, ticket: Ticket, timeout: Duration) {
        let core = Arc::clone(&self.core);
        let reporter = Box::new(move |report| core.loops().answer(ticket, Ok(Answer::Stopped(report))));
        if self.commands.send(Command::Stop(self.core.stop(timeout, reporter))).is_err() {
            self.core.loops().answer(ticket, Ok(Answer::Stopped(StopReport::default())));
        }
    }

    /// As [`Producer::stop`], for a thread that may block: the one that ends the process. Nothing is sent when the
    /// producer is closed already.
    pub(crate) fn stop_and_report(&self, timeout: Duration) -> mpsc::Receiver<StopReport> {
        let (done, report) = mpsc::channel();
        let reporter = Box::new(move |report| {
            // The receiver is gone if its owner waits no longer.
            let _ = done.send(report);
        });
        let _ = self.commands.send(Command::Stop(self.core.stop(timeout, reporter)));
        report
    }

    /// Supplies the OAUTHBEARER token that librdkafka gets when it asks.
    pub(crate) fn set_token(&self, token: Token) {
        self.core.set_token(token);
    }

    /// Whether the cluster answered lately. No I/O.
    pub(crate) fn is_connected(&self) -> bool {
        self.core.status().is_connected()
    }

    /// Events accepted that are neither acknowledged nor failed.
    pub(crate) fn outstanding(&self) -> u64 {
        self.core.pipeline().counts().outstanding()
    }

    pub(crate) fn gauges(&self) -> Gauges {
        let pipeline = self.core.pipeline();
        Gauges {
            waiting: pipeline.waiting(),
            in_flight: pipeline.in_flight(),
            bytes: pipeline.bytes(),
            round_trips: self.core.brokers().round_trips(),
        }
    }

    /// Gives the producer up: closes at once, in the background, without a report.
    pub(crate) fn abandon(&self) {
        // Without a receiver the producer is closed already.
        let _ = self.commands.send(Command::Stop(self.core.stop(Duration::ZERO, Box::new(drop))));
    }

    fn command(&self, command: Command, ticket: Ticket) {
        if self.commands.send(command).is_err() {
            self.core.loops().answer(ticket, Err(Box::new(closed())));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::thread::sleep;

    use super::super::outcome::{EventOutcome, Outcome};
    use super::super::settings::tests::settings;
    use super::*;
    use crate::kafka::failure::{Class, Kind};
    use crate::testing::EmbeddedBroker;

    const TOPIC: &str = "events";
    const LIMIT: Duration = Duration::from_secs(20);

    struct Opened {
        broker: EmbeddedBroker,
        queue: Arc<OutcomeQueue>,
        producer: Producer,
    }

    fn opened(changes: &serde_json::Value) -> Opened {
        opened_at(EmbeddedBroker::start(1).unwrap(), changes)
    }

    fn opened_at(broker: EmbeddedBroker, changes: &serde_json::Value) -> Opened {
        let queue = Arc::new(OutcomeQueue::new().unwrap());
        let settings = settings(broker.bootstrap_servers(), changes);
        let producer = Producer::open(settings, false, None, Some(&queue)).unwrap();
        producer.started(Ticket::new(queue.id(), 0));
        let opened = Opened { broker, queue, producer };
        assert!(matches!(opened.outcomes(1)[..], [Outcome::Answer(0, Ok(Answer::Started))]));
        opened
    }

    impl Opened {
        fn enqueue(&self, payload: &str, slot: u32) -> Result<Accepted, Failure> {
            let record = Record { topic: TOPIC, key: b"key", payload: payload.as_bytes(), headers: &[] };
            self.producer.enqueue(&record, Ticket::new(self.queue.id(), slot), || None)
        }

        /// What an event loop would do: wait for the next outcomes, lines for the log apart.
        fn outcomes(&self, count: usize) -> Vec<Outcome> {
            let deadline = Instant::now() + LIMIT;
            let mut outcomes = Vec::new();
            while outcomes.len() < count {
                assert!(Instant::now() < deadline, "{} of {count} outcomes came", outcomes.len());
                sleep(Duration::from_millis(1));
                let handover = self.queue.handover();
                handover.begin();
                outcomes
                    .extend(std::iter::from_fn(|| handover.next()).filter(|item| !matches!(item, Outcome::Lines(_))));
                handover.end();
            }
            outcomes
        }
    }

    #[test]
    fn events_of_one_key_are_stored_in_order_through_a_full_queue() {
        let opened = opened(&serde_json::json!({"queue_max_messages": 2}));
        let payloads: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        for (slot, payload) in (0..).zip(&payloads) {
            opened.enqueue(payload, slot).unwrap();
        }
        for (expected, outcome) in (0..).zip(opened.outcomes(50)) {
            let Outcome::Event(slot, EventOutcome::Delivered(stored)) = outcome else { panic!("an event failed") };
            assert_eq!((slot, stored.offset), (expected, i64::from(expected)));
        }
        let stored = opened.broker.records(TOPIC).unwrap();
        let values = stored.iter().map(|record| record.value.clone().unwrap());
        assert!(values.eq(payloads.iter().map(|payload| payload.clone().into_bytes())));

        let report = opened.producer.stop_and_report(Duration::from_secs(5)).recv_timeout(LIMIT).unwrap();
        assert_eq!((report.delivered, report.failed), (0, 0));
        assert_eq!(opened.enqueue("late", 0).unwrap_err().kind, Kind::CLOSED);
    }

    #[test]
    fn a_stop_reports_what_it_flushed_and_answers_those_who_ask_later() {
        let opened = opened(&serde_json::json!({}));
        opened.broker.set_round_trip(Duration::from_millis(100)).unwrap();
        for slot in 0..10 {
            opened.enqueue("event", slot).unwrap();
        }
        let report = opened.producer.stop_and_report(Duration::from_secs(5)).recv_timeout(LIMIT).unwrap();
        assert_eq!((report.delivered, report.failed), (10, 0));
        opened.outcomes(10);
        opened.producer.health(Ticket::new(opened.queue.id(), 99), LIMIT);
        assert!(matches!(&opened.outcomes(1)[..], [Outcome::Answer(99, Err(failure))] if failure.kind == Kind::CLOSED));
    }

    #[test]
    fn a_stop_without_time_fails_what_is_outstanding() {
        let opened = opened(&serde_json::json!({}));
        opened.broker.set_down(None, true).unwrap();
        for slot in 0..10 {
            opened.enqueue("event", slot).unwrap();
        }
        let report = opened.producer.stop_and_report(Duration::ZERO).recv_timeout(LIMIT).unwrap();
        assert_eq!((report.delivered, report.failed), (0, 10));
        for outcome in opened.outcomes(10) {
            let Outcome::Event(_, EventOutcome::Failed(failure)) = outcome else { panic!("no event can be stored") };
            assert_eq!(failure.kind.class, Class::Closed);
        }
    }

    #[test]
    fn an_event_that_waits_while_the_poller_sleeps_is_sent_at_once() {
        let opened = opened(&serde_json::json!({}));
        opened.broker.set_round_trip(Duration::from_millis(300)).unwrap();
        // Longer than the poller needs to become idle.
        sleep(Duration::from_millis(1500));
        let began = Instant::now();
        for slot in 0..20 {
            opened.enqueue("event", slot).unwrap();
        }
        opened.outcomes(20);
        let elapsed = began.elapsed();
        assert!(elapsed < Duration::from_millis(950), "two round trips, and no nap of a second: {elapsed:?}");
    }

    /// A user without the right to write: the brokers refuse the producer id, for as long as nobody grants the right.
    #[test]
    fn a_missing_right_is_named_at_once_and_its_grant_needs_no_restart() {
        let broker = EmbeddedBroker::start(1).unwrap();
        broker.fail_next("InitProducerId", 31, 4).unwrap();
        let opened = opened_at(broker, &serde_json::json!({"required": false}));
        let began = Instant::now();
        let failure = match opened.enqueue("event", 1) {
            Err(failure) => failure,
            Ok(_) => match opened.outcomes(1).pop() {
                Some(Outcome::Event(1, EventOutcome::Failed(failure))) => *failure,
                _ => panic!("an event cannot be stored without the right"),
            },
        };
        assert_eq!((failure.kind.class, failure.kind.retriable), (Class::Authorization, false), "{failure}");
        assert!(began.elapsed() < Duration::from_secs(2), "not after its deadline");
        assert!(!opened.producer.is_connected());
        let mut slot = 1;
        let stored = loop {
            slot += 1;
            assert!(began.elapsed() < LIMIT, "never stored");
            sleep(Duration::from_millis(50));
            if opened.enqueue("event", slot).is_ok() {
                if let Some(Outcome::Event(_, EventOutcome::Delivered(stored))) = opened.outcomes(1).pop() {
                    break stored;
                }
            }
        };
        assert_eq!(stored.offset, 0);
        while !opened.producer.is_connected() {
            assert!(began.elapsed() < LIMIT, "never connected");
            sleep(Duration::from_millis(10));
        }
    }

    /// While there is no client, no poller drains the backlog: an event that arrives there must not be left behind.
    #[test]
    fn no_event_is_stranded_while_there_is_no_client() {
        let broker = EmbeddedBroker::start(1).unwrap();
        broker.fail_next("InitProducerId", 31, 8).unwrap();
        let changes = serde_json::json!({"required": false, "adaptive": false, "request_timeout_ms": 500});
        let opened = opened_at(broker, &changes);
        let end = Instant::now() + Duration::from_millis(3300);
        let accepted: usize = std::thread::scope(|scope| {
            let publish = |first: u32| {
                let mut accepted = 0;
                while Instant::now() < end {
                    accepted += usize::from(opened.enqueue("event", first).is_ok());
                    std::thread::yield_now();
                }
                accepted
            };
            let threads: Vec<_> = (0..4).map(|first| scope.spawn(move || publish(first))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let stopped = Instant::now();
        opened.outcomes(accepted);
        let waited = stopped.elapsed();
        assert!(waited < Duration::from_millis(2500), "not until the next client is built: {waited:?}");
    }

    #[test]
    fn a_refused_event_is_named_by_its_own_failure() {
        let opened = opened(&serde_json::json!({"max_request_size": 1000}));
        let failure = opened.enqueue(&"x".repeat(2000), 0).unwrap_err();
        assert_eq!(failure.kind.class, Class::MessageTooLarge);
        opened.enqueue("small", 1).unwrap();
        assert!(matches!(opened.outcomes(1)[..], [Outcome::Event(1, EventOutcome::Delivered(_))]));
    }
}
