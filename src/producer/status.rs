//! What is known about the producer and its cluster, and what callers get to read about a failure.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pipeline::Refusal;
use super::settings::Settings;
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::failure::{Class, Failure, Kind};
use crate::kafka::librdkafka::{ClientError, Code, Record};

/// Names one of the clients that a producer builds, the first one after the other.
pub(super) type Generation = u32;

/// A client that can never be used again.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) generation: Generation,
    /// What callers get from now on.
    pub(super) failure: Failure,
    /// librdkafka's words, for the log.
    pub(super) reason: String,
}

/// What is known. The supervisor and the poller write it; any thread reads it.
pub(super) struct Status {
    time_limit: Duration,
    /// Of one event.
    max_bytes: usize,
    opened: Instant,
    is_connected: AtomicBool,
    is_closing: AtomicBool,
    has_failed: AtomicBool,
    /// Whether a broker ever answered.
    has_answered: AtomicBool,
    /// Milliseconds from `opened` to the last acknowledgement; 0 before the first.
    acknowledged_at_ms: AtomicU64,
    broker_errors: BrokerErrors,
    /// The present client.
    generation: AtomicU32,
    /// The client that died, and why, until the supervisor takes it.
    death: Mutex<Option<Death>>,
    alarm: Notify,
    /// Topics have to be looked up.
    topics: Notify,
}

impl Status {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            time_limit: settings.time_limit(),
            max_bytes: settings.limits().event_bytes,
            opened: Instant::now(),
            is_connected: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
            acknowledged_at_ms: AtomicU64::new(0),
            broker_errors: BrokerErrors::new(settings.secrets()),
            generation: AtomicU32::new(0),
            death: Mutex::default(),
            alarm: Notify::new(),
            topics: Notify::new(),
        }
    }

    /// Whether the cluster answered lately, and the producer is open.
    pub(super) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire) && !self.is_closing()
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Refuses new events from now on.
    pub(super) fn begin_closing(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Whether the start failed, so that nothing is tried any more.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    pub(super) fn fail(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// A broker answered a probe.
    pub(super) fn note_answer(&self) {
        self.has_answered.store(true, Ordering::Release);
    }

    /// A client of this generation takes the place of the one before.
    pub(super) fn set_generation(&self, generation: Generation) {
        self.generation.store(generation, Ordering::Release);
    }

    /// An event was acknowledged; of clients before the present one that says nothing about the present.
    pub(super) fn note_acknowledgement(&self, generation: Generation) {
        if generation != self.generation.load(Ordering::Acquire) {
            return;
        }
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.acknowledged_at_ms.store(now.max(1), Ordering::Release);
        if !self.is_connected.load(Ordering::Acquire) {
            self.raise_alarm();
        }
    }

    /// When an event was acknowledged last.
    pub(super) fn acknowledged_at(&self) -> Option<Instant> {
        match self.acknowledged_at_ms.load(Ordering::Acquire) {
            0 => None,
            at => self.opened.checked_add(Duration::from_millis(at)),
        }
    }

    /// librdkafka reported an error of a broker, or of all of them.
    pub(super) fn note_broker_error(&self, error: &ClientError) {
        self.broker_errors.note(error.code, &error.reason, Instant::now());
        if error.code == Code::AllBrokersDown || self.broker_errors.all_need_a_fix(1) {
            self.raise_alarm();
        }
    }

    pub(super) fn broker_errors(&self) -> &BrokerErrors {
        &self.broker_errors
    }

    /// Makes the supervisor look at the cluster now.
    pub(super) fn raise_alarm(&self) {
        self.alarm.notify_one();
    }

    /// Waits for [`Self::raise_alarm`] or [`Self::report_death`].
    pub(super) async fn alarmed(&self) {
        self.alarm.notified().await;
    }

    /// Makes the supervisor look topics up.
    pub(super) fn wish_for_topics(&self) {
        self.topics.notify_one();
    }

    /// Waits for [`Self::wish_for_topics`].
    pub(super) async fn topics_wished(&self) {
        self.topics.notified().await;
    }

    /// A client died. Of two that died, the supervisor has to hear of the later one.
    pub(super) fn report_death(&self, death: Death) {
        let mut last = self.death.lock();
        if last.as_ref().is_none_or(|last| last.generation <= death.generation) {
            *last = Some(death);
        }
        self.alarm.notify_one();
    }

    /// The death that was reported since the last call.
    pub(super) fn take_death(&self) -> Option<Death> {
        self.death.lock().take()
    }

    /// What the caller of a refused record gets.
    pub(super) fn refusal(&self, refusal: &Refusal, record: &Record<'_>) -> Failure {
        match refusal {
            Refusal::TooLarge => {
                self.too_large(&format!("an event of {} bytes, key and headers included,", record.wire_size()))
            }
            Refusal::NoClient(failure) => Failure::clone(failure),
            Refusal::Code(code) => self.failure(*code, record.topic),
        }
    }

    /// What the caller of an event gets when librdkafka names the failure only by a code.
    pub(super) fn failure(&self, code: Code, topic: &str) -> Failure {
        let kind = match code {
            // The client was given up; nobody asked to stop.
            Code::PurgeQueue | Code::PurgeInflight if !self.is_closing() => Kind::FATAL,
            _ => Kind::of(code),
        };
        Failure::new(kind, self.explain(code, kind, topic))
    }

    /// Largest event, in bytes.
    pub(super) fn max_event_bytes(&self) -> usize {
        self.max_bytes
    }

    /// What the caller of an event gets that is larger than the configuration allows.
    pub(super) fn too_large(&self, event: &str) -> Failure {
        let message = format!(
            "{event} is larger than max_request_size, {} bytes: send less, or raise it here (and queue_max_bytes, if that is \
             the smaller one) and message.max.bytes on the brokers",
            self.max_bytes
        );
        Failure::new(Kind::of(Code::MessageSizeTooLarge), message)
    }

    fn explain(&self, code: Code, kind: Kind, topic: &str) -> String {
        match kind.class {
            Class::Timeout => self.timed_out(),
            Class::Connection => format!("the connection to the brokers broke: {}", self.cause()),
            Class::UnknownTopic => format!(
                "topic {topic:?} does not exist, and the brokers do not create it: create it, or correct its name"
            ),
            Class::Authorization => {
                format!("the brokers refuse {topic:?} to this client: allow it to write there ({})", kind.code)
            }
            Class::MessageTooLarge => {
                "the brokers refuse an event of this size: send less, or raise message.max.bytes there".into()
            }
            Class::Closed => "the producer stopped before the event was acknowledged".into(),
            Class::Fatal => "librdkafka gave the producer up; a new one is being built: publish again".into(),
            _ => format!("the brokers refuse the event: {code} ({})", kind.code),
        }
    }

    /// What the caller of an event gets that waited in the backlog until its deadline.
    pub(super) fn expired_in_backlog(&self, queue_was_full: bool) -> Failure {
        if !queue_was_full {
            return Failure::new(Kind::TIMEOUT, self.timed_out());
        }
        self.queue_full(&format!("was full for the whole of request_timeout_ms={}", self.time_limit.as_millis()))
    }

    /// What the caller of an event gets for which there is no space in the queue.
    pub(super) fn queue_full(&self, how_long: &str) -> Failure {
        let cause = self.broker_errors.text(Instant::now()).map_or(String::new(), |cause| format!(" ({cause})"));
        let message = format!("the local queue (queue_max_messages, queue_max_bytes) {how_long}{cause}");
        Failure::new(Kind::QUEUE_FULL, message)
    }

    /// What the caller of an event gets that librdkafka still has at its deadline.
    pub(super) fn overdue(&self) -> Failure {
        Failure::new(Kind::TIMEOUT, self.timed_out()).maybe_delivered(true)
    }

    fn timed_out(&self) -> String {
        format!("no acknowledgement within request_timeout_ms={}: {}", self.time_limit.as_millis(), self.cause())
    }

    fn cause(&self) -> String {
        let is_new = self.acknowledged_at().is_none();
        let unknown = if is_new && self.has_answered.load(Ordering::Acquire) {
            "the brokers answer, but have not acknowledged any event yet: are their controller and replicas well?"
        } else {
            "no broker reported an error; it may be slow, or unreachable"
        };
        self.broker_errors.text(Instant::now()).unwrap_or_else(|| unknown.to_owned())
    }

    /// librdkafka's words for an error, without secrets.
    pub(super) fn reason(&self, error: &ClientError) -> String {
        self.broker_errors.scrub(&error.reason)
    }

    /// What callers get from now on when a client reported a fatal error.
    pub(super) fn fatal(&self, error: &ClientError) -> Failure {
        let kind = Kind::of_fatal(error.code);
        let reason = self.reason(error);
        let message = match kind.class {
            Class::Authorization => format!(
                "the brokers refuse to let this client write: grant it WRITE on its topics, and IDEMPOTENT_WRITE on \
                 brokers before 3.0 ({}: {reason})",
                kind.code
            ),
            Class::Fatal => {
                format!("librdkafka gave the producer up; a new one is being built: publish again ({reason})")
            }
            _ => format!("the producer cannot work with these brokers: {reason} ({})", kind.code),
        };
        Failure::new(kind, message)
    }
}
