//! The thread that brings a producer up, watches its cluster, builds librdkafka's client anew when it must, and closes.
//!
//! A small tokio runtime lives in it, from the start to the stop of the producer. Calls of librdkafka that block run on
//! the runtime's blocking threads (one to look, one to flush), in slices short enough that nobody notices when they are no longer wanted.

use std::future::pending;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{spawn_blocking, JoinHandle};
use tokio::time::{sleep_until, Instant as TokioInstant};

use crate::kafka::failure::{Failure, Kind};
use crate::kafka::health::Health;
use crate::kafka::librdkafka::client::{Cluster, Native};
use crate::kafka::log_line::{Level, Notice, Outage};
use crate::producer::handle::Shared;
use crate::producer::metrics::METRICS;
use crate::producer::outcome::{Outcome, Ticket};
use crate::producer::poller::{self, Retirement};
use crate::producer::progress::Progress;
use crate::producer::shutdown::{self, Stop, StopReport};
use crate::producer::status::closed;

/// Longest blocking look at the cluster.
const PROBE_SLICE: Duration = Duration::from_secs(1);
/// Slices of one connection attempt when nobody refuses and nobody answers.
const SLICES_OF_ATTEMPT: u32 = 5;
/// Looks at the cluster, one after the other, that a new client begins with. librdkafka asks for its producer id when
/// metadata arrives, and the first may be what ends the connection that it came by; without more of them librdkafka
/// tries again half a second later, and nothing is sent until then.
const FIRST_PROBES: u32 = 2;
/// Slices without an answer after which a connected cluster counts as gone.
const SLICES_UNTIL_LOST: u32 = 3;
/// How long events may be under way without any being acknowledged, in a cluster that answers otherwise.
const LONGEST_STALL: Duration = Duration::from_secs(6);
/// Pause between looks at a cluster that is well.
const WATCH_INTERVAL: Duration = Duration::from_secs(3);
/// Longest pause between two connection attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// What the handle asks for.
pub enum Command {
    /// Tell this one when the first connection is made, or has failed.
    Started(Ticket),
    /// Tell this one how the cluster is, before the given time.
    Health(Ticket, Instant),
    /// Flush, close, and report.
    Stop(Stop),
}

/// Starts the thread.
pub fn spawn(shared: Arc<Shared>, inbox: UnboundedReceiver<Command>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(2)
        .thread_name("kafka-email-wait")
        .build()?;
    thread::Builder::new().name("kafka-email".into()).spawn(move || {
        let (stop, after) = runtime.block_on(async {
            let mut supervisor = Supervisor::new(shared, inbox);
            let stop = supervisor.supervise().await;
            supervisor.dismiss();
            let after = shutdown::close(&supervisor.shared, supervisor.retirement.take(), stop.timeout).await;
            (stop, after)
        });
        drop(runtime);
        stop.finish(after);
    })?;
    Ok(())
}

/// How far the first connection is.
enum Phase {
    Connecting,
    Connected,
    Failed(Failure),
}

type Probe = JoinHandle<(Result<Cluster, Code>, Duration)>;

struct Supervisor {
    shared: Arc<Shared>,
    inbox: UnboundedReceiver<Command>,
    retirement: Option<Retirement>,
    phase: Phase,
    attempt: u32,
    slices: u32,
    answers_of_client: u32,
    brokers: Vec<i32>,
    probe: Option<Probe>,
    next_probe: Instant,
    waiting_for_start: Vec<Ticket>,
    waiting_for_health: Vec<(Ticket, Instant)>,
    progress: Progress,
    outage: Outage,
}

impl Supervisor {
    fn new(shared: Arc<Shared>, inbox: UnboundedReceiver<Command>) -> Self {
        Self {
            shared,
            inbox,
            retirement: None,
            phase: Phase::Connecting,
            attempt: 1,
            slices: 0,
            answers_of_client: 0,
            brokers: Vec::new(),
            probe: None,
            next_probe: Instant::now(),
            waiting_for_start: Vec::new(),
            waiting_for_health: Vec::new(),
            progress: Progress::new(Instant::now()),
            outage: Outage::default(),
        }
    }

    /// Runs until someone asks to stop, or the last handle is gone.
    async fn supervise(&mut self) -> Stop {
        if let Err(failure) = self.build_client() {
            self.fail_start(failure);
        }
        let shared = Arc::clone(&self.shared);
        loop {
            let wake_up = self.next_deadline();
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::Started(ticket)) => self.on_started_wanted(ticket),
                    Some(Command::Health(ticket, deadline)) => self.on_health_wanted(ticket, deadline),
                    Some(Command::Stop(stop)) => return stop,
                    None => return self.shared.stop(self.shared.settings.deadline(), Box::new(drop)),
                },
                (result, latency) = probed(&mut self.probe) => self.on_probed(&result, latency),
                () = shared.alarm.notified() => self.on_alarm(),
                () = sleep_until(TokioInstant::from_std(wake_up)) => self.on_time(),
            }
        }
    }

    /// Nobody is left waiting for something that will not happen any more.
    fn dismiss(&mut self) {
        self.inbox.close();
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Started(ticket) => self.waiting_for_start.push(ticket),
                Command::Health(ticket, deadline) => self.waiting_for_health.push((ticket, deadline)),
                Command::Stop(stop) => (stop.reporter)(StopReport::default()),
            }
        }
        self.fail_start(closed());
        for (ticket, _) in std::mem::take(&mut self.waiting_for_health) {
            self.report_health(ticket, None, Duration::ZERO, Some(closed().message));
        }
    }

    fn build_client(&mut self) -> Result<(), Failure> {
        let native = Native::create(&self.shared.settings.client_config())
            .map_err(|error| crate::producer::settings::refusal(&error, &self.shared.settings, &self.shared.trouble))?;
        let native = Arc::new(native);
        let threads_left =
            |error: io::Error| Failure::new(Kind::CONFIGURATION, format!("cannot start a thread: {error}"));
        self.retirement = Some(poller::spawn(&self.shared, Arc::clone(&native)).map_err(threads_left)?);
        *self.shared.native.write() = Some(native);
        self.answers_of_client = 0;
        self.brokers.clear();
        Ok(())
    }

    /// librdkafka cannot use a client any more after a fatal error: fail what it holds, and go on with a new one.
    fn rebuild_client(&mut self) {
        let dead = self.shared.native.write().take();
        if let Some(dead) = dead {
            dead.purge();
        }
        if let Some(retirement) = self.retirement.take() {
            retirement.begin();
        }
        self.shared.is_fatal.store(false, Ordering::Release);
        let cause = self.shared.trouble.text().unwrap_or_default();
        match self.build_client() {
            Ok(()) => {
                METRICS.rebuilds.add(1);
                self.say(
                    Level::Error,
                    "producer_rebuilt",
                    format!("librdkafka gave its producer up, a new one is in its place: {cause}"),
                );
            }
            Err(failure) => self.say(
                Level::Error,
                "producer_lost",
                format!("librdkafka gave its producer up, and building a new one failed: {failure}"),
            ),
        }
        self.shared.trouble.clear();
    }

    fn on_started_wanted(&mut self, ticket: Ticket) {
        match &self.phase {
            Phase::Connecting => self.waiting_for_start.push(ticket),
            Phase::Connected => self.shared.push(ticket, Outcome::Started),
            Phase::Failed(failure) => self.shared.push(ticket, Outcome::Failed(Box::new(failure.clone()))),
        }
    }

    fn on_health_wanted(&mut self, ticket: Ticket, deadline: Instant) {
        self.waiting_for_health.push((ticket, deadline));
        self.start_probe();
    }

    fn on_alarm(&mut self) {
        if self.shared.is_fatal.load(Ordering::Acquire) {
            self.rebuild_client();
        } else if !matches!(self.phase, Phase::Connecting) {
            self.start_probe();
        } else if self.shared.trouble.is_lasting() {
            // Other news does not shorten the pause between two attempts.
            self.give_up_attempts();
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        let (late, patient) = self.waiting_for_health.drain(..).partition(|(_, deadline)| *deadline <= now);
        self.waiting_for_health = patient;
        let late: Vec<(Ticket, Instant)> = late;
        for (ticket, _) in late {
            let error = self.shared.trouble.text().unwrap_or_else(|| "no broker answered in the time given".into());
            self.report_health(ticket, None, Duration::ZERO, Some(error));
        }
        if now >= self.next_probe {
            self.next_probe = now + WATCH_INTERVAL;
            if !self.acknowledged_lately() {
                self.start_probe();
            }
        }
    }

    /// An acknowledgement says as much as a probe does.
    fn acknowledged_lately(&self) -> bool {
        let at = Duration::from_millis(self.shared.acknowledged_at_ms.load(Ordering::Acquire));
        let lately = at > Duration::ZERO && self.shared.opened.elapsed().saturating_sub(at) < WATCH_INTERVAL;
        lately && self.shared.is_connected.load(Ordering::Acquire)
    }

    /// One probe at a time, whoever wants it.
    fn start_probe(&mut self) {
        if self.probe.is_some() || matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        let Some(native) = self.shared.native.read().clone() else { return };
        let (usual_topic, broker) = (self.shared.settings.email_topic.clone(), self.broker_to_ask());
        self.probe = Some(spawn_blocking(move || {
            let asked = Instant::now();
            let result = match broker {
                Some(broker) => native.probe_broker(broker, PROBE_SLICE),
                None => native.probe(&usual_topic, PROBE_SLICE),
            };
            (result, asked.elapsed())
        }));
    }

    /// Whichever librdkafka likes best, and while that one is silent two others in between, each time the next: an
    /// application that publishes nothing may be connected to one broker only, and that one be the one that hangs.
    fn broker_to_ask(&self) -> Option<i32> {
        let (round, turn) = (self.slices / SLICES_UNTIL_LOST, self.slices % SLICES_UNTIL_LOST);
        let nth = turn.checked_sub(1)? + round * (SLICES_UNTIL_LOST - 1);
        self.brokers.get(nth as usize % self.brokers.len().max(1)).copied()
    }

    fn on_probed(&mut self, result: &Result<Cluster, Code>, latency: Duration) {
        self.probe = None;
        match result {
            Ok(cluster) => self.on_answer(cluster, latency),
            Err(code) => self.on_silence(*code, latency),
        }
    }

    fn on_answer(&mut self, cluster: &Cluster, latency: Duration) {
        self.slices = 0;
        self.attempt = 1;
        self.answers_of_client = self.answers_of_client.saturating_add(1);
        self.brokers.clone_from(&cluster.brokers);
        self.shared.has_answered.store(true, Ordering::Release);
        let stall = self.progress.stall(self.shared.statistics.counts(), Instant::now());
        if stall > LONGEST_STALL && !matches!(self.phase, Phase::Connecting) {
            return self.on_stall(stall);
        }
        if !self.shared.is_connected.swap(true, Ordering::AcqRel) {
            // The cluster as a whole is back; while it is there, a single broker's trouble ends by being forgotten.
            self.shared.trouble.clear();
        }
        let pause = if self.answers_of_client < FIRST_PROBES { Duration::ZERO } else { WATCH_INTERVAL };
        self.next_probe = Instant::now() + pause;
        if let Some(notice) = self.outage.is_over() {
            self.shared.say(notice);
        }
        for (ticket, _) in std::mem::take(&mut self.waiting_for_health) {
            self.report_health(ticket, Some(cluster), latency, None);
        }
        self.finish_start();
    }

    /// A broker answers, but the cluster takes no event: too few replicas, no leader, no controller.
    fn on_stall(&mut self, stall: Duration) {
        let known = self.shared.trouble.text().map_or(String::new(), |cause| format!(" ({cause})"));
        let cause = format!("the brokers answer, but acknowledged no event for {} s{known}", stall.as_secs());
        self.next_probe = Instant::now() + PROBE_SLICE;
        self.report_illness(&cause);
        self.lose(&cause);
    }

    fn report_illness(&mut self, cause: &str) {
        for (ticket, _) in std::mem::take(&mut self.waiting_for_health) {
            self.report_health(ticket, None, Duration::ZERO, Some(cause.to_owned()));
        }
    }

    fn lose(&mut self, cause: &str) {
        self.shared.is_connected.store(false, Ordering::Release);
        self.tell_outage(cause);
    }

    fn on_silence(&mut self, code: Code, waited: Duration) {
        self.slices += 1;
        let trouble = self.shared.trouble.text();
        let is_lost = self.slices >= SLICES_UNTIL_LOST || !self.shared.is_connected.load(Ordering::Acquire);
        // Where nobody refused, another broker may answer in the time that who asks has.
        let is_certain = trouble.is_some() || is_lost;
        let cause = trouble.unwrap_or_else(|| format!("no broker answered ({})", Kind::of(code).code));
        if is_certain {
            self.report_illness(&cause);
        }
        // Ask again at once, but not more often than a slice takes: librdkafka may refuse immediately.
        self.next_probe = Instant::now() + PROBE_SLICE.saturating_sub(waited);
        if matches!(self.phase, Phase::Connecting) {
            self.on_attempt_slice(&cause);
        } else if is_lost {
            self.lose(&cause);
        }
    }

    /// An attempt ends when someone refused, or nobody answered for long enough.
    fn on_attempt_slice(&mut self, cause: &str) {
        let refused = self.shared.trouble.text().is_some();
        if !refused && self.slices < SLICES_OF_ATTEMPT {
            return;
        }
        self.slices = 0;
        self.tell_outage(cause);
        if self.attempt >= self.shared.settings.max_connection_attempts || !self.shared.settings.required {
            return self.give_up_attempts();
        }
        let first = Duration::from_millis(self.shared.settings.retry_delay_ms);
        self.next_probe = Instant::now() + first.saturating_mul(1 << (self.attempt - 1).min(16)).min(LONGEST_BACKOFF);
        self.attempt += 1;
    }

    fn tell_outage(&mut self, cause: &str) {
        if let Some(notice) = self.outage.goes_on(cause) {
            self.shared.say(notice);
        }
    }

    /// The first connection failed: an error if it is required, and otherwise work for the background.
    fn give_up_attempts(&mut self) {
        if self.shared.settings.required {
            let failure = self.shared.trouble.failure(&self.shared.settings.bootstrap_servers, self.attempt);
            self.fail_start(failure);
        } else {
            self.finish_start();
        }
    }

    fn finish_start(&mut self) {
        if matches!(self.phase, Phase::Connecting) {
            self.phase = Phase::Connected;
        }
        for ticket in std::mem::take(&mut self.waiting_for_start) {
            self.shared.push(ticket, Outcome::Started);
        }
    }

    fn fail_start(&mut self, failure: Failure) {
        for ticket in std::mem::take(&mut self.waiting_for_start) {
            self.shared.push(ticket, Outcome::Failed(Box::new(failure.clone())));
        }
        self.phase = Phase::Failed(failure);
    }

    fn report_health(&self, ticket: Ticket, cluster: Option<&Cluster>, latency: Duration, last_error: Option<String>) {
        let health = Health {
            healthy: cluster.is_some(),
            brokers: cluster.map_or(0, |cluster| cluster.brokers.len()),
            latency: cluster.map(|_| latency),
            queued: self.shared.backlog.len(),
            in_flight: self.shared.statistics.counts().outstanding().saturating_sub(self.shared.backlog.len() as u64),
            last_error,
        };
        self.shared.push(ticket, Outcome::Health(Box::new(health)));
    }

    fn say(&self, level: Level, event: &'static str, message: String) {
        self.shared.say(Notice { level, event, message });
    }

    fn next_deadline(&self) -> Instant {
        // While a probe is under way its end is the next thing to happen; only health has deadlines of its own then.
        let watch = if self.probe.is_some() { Instant::now() + WATCH_INTERVAL } else { self.next_probe };
        self.waiting_for_health.iter().map(|(_, deadline)| *deadline).chain([watch]).min().unwrap_or(watch)
    }
}

/// The result of the probe under way; waits for ever when there is none.
async fn probed(probe: &mut Option<Probe>) -> (Result<Cluster, Code>, Duration) {
    match probe {
        Some(handle) => handle.await.unwrap_or((Err(Code::Fail), Duration::ZERO)),
        None => pending().await,
    }
}
