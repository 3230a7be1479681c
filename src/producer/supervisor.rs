//! The thread that does what the [`Connection`] decides: it builds clients, probes, answers questions, and closes.
//!
//! A small tokio runtime lives in the thread, from the start to the stop of the producer. Calls of librdkafka that block
//! run on the runtime's blocking threads, in slices: a blocking call cannot be cancelled, so one slice is the longest
//! that it can delay `stop()`.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{spawn_blocking, JoinHandle};
use tokio::time::{sleep_until, Instant as TokioInstant};

use super::closed::closed;
use super::command::{Command, Stop};
use super::connection::{Action, Connection, Input, Target, View, PROBE_TIMEOUT};
use super::core::Core;
use super::counters::Counts;
use super::metrics::METRICS;
use super::outcome::{Answer, Health, StopReport};
use super::poller::Poller;
use super::shutdown;
use super::status::{Death, Generation};
use crate::handover::Ticket;
use crate::kafka::failure::{Failure, Kind};
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::{Broker, Client, Code, Silence};

/// A probe, a flush, and probes of clients that died meanwhile.
const MAX_BLOCKING_THREADS: usize = 4;

/// Pause before a topic that does not exist yet is looked up again; it doubles.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// Longer than any producer lives.
const KEEP_ALIVE: Duration = Duration::from_hours(100 * 365 * 24);

/// Starts the thread.
///
/// # Errors
/// When the system has no thread left.
pub(super) fn spawn(core: Arc<Core>, inbox: UnboundedReceiver<Command>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        // tokio panics where it needs a first thread and the system has none left: the first one stays.
        .thread_keep_alive(KEEP_ALIVE)
        .thread_name("kafka-email-wait")
        .build()?;
    thread::Builder::new().name("kafka-email".into()).spawn(move || {
        let (stop, after) = runtime.block_on(async {
            let mut supervisor = Supervisor::new(core, inbox);
            let stop = supervisor.supervise().await;
            let after = supervisor.close(stop.timeout).await;
            (stop, after)
        });
        drop(runtime);
        stop.finish(after);
    })?;
    Ok(())
}

type Probed = (Result<Vec<Broker>, Silence>, Duration);

struct Supervisor {
    core: Arc<Core>,
    inbox: UnboundedReceiver<Command>,
    connection: Connection,
    probe: Option<JoinHandle<Probed>>,
    /// Topics are being looked up; tells whether some are left.
    lookup: Option<JoinHandle<bool>>,
    /// When those are looked up that are left, and the pause before.
    next_lookup: Option<(Instant, Duration)>,
    /// The last one belongs to the present client, if there is one; the others are about to end.
    pollers: Vec<Poller>,
    generation: Generation,
}

impl Supervisor {
    fn new(core: Arc<Core>, inbox: UnboundedReceiver<Command>) -> Self {
        let connection = Connection::new(core.settings().start_plan(), Instant::now());
        Self {
            core,
            inbox,
            connection,
            probe: None,
            lookup: None,
            next_lookup: None,
            pollers: Vec::new(),
            generation: 0,
        }
    }

    /// Runs until the handle asks to stop, or the last handle is gone.
    async fn supervise(&mut self) -> Stop {
        if let Some(built) = self.perform(Connection::begin()) {
            self.handle(built);
        }
        drop(spawn_blocking(|| ()));
        let core = Arc::clone(&self.core);
        loop {
            let deadline = self.connection.next_deadline();
            let next_lookup = self.next_lookup.map(|(at, _)| at);
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::Start(ticket)) => self.handle(Input::StartAsked(ticket)),
                    Some(Command::Health(ticket, deadline)) => self.handle(Input::HealthAsked(ticket, deadline)),
                    Some(Command::Stop(stop)) => return stop,
                    None => return core.stop(core.settings().time_limit(), Box::new(drop)),
                },
                probed = probed(&mut self.probe) => self.on_probed(probed),
                () = core.status().alarmed() => self.on_alarm(),
                () = core.status().topics_wished(), if self.lookup.is_none() => self.look_topics_up(LOOKUP_INTERVAL),
                some_are_left = looked_up(&mut self.lookup) => self.on_looked_up(some_are_left),
                () = until(next_lookup), if self.lookup.is_none() => self.look_left_topics_up(),
                () = until(deadline) => self.handle(Input::TimePassed),
            }
            self.join_ended_pollers();
        }
    }

    /// Feeds the state machine, and does what it decides.
    fn handle(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let status = self.core.status();
            // Of an event whose topic does not exist nobody expects an acknowledgement.
            let stranded = self.core.pipeline().client().map_or(0, |client| client.stranded());
            let view = View {
                now: Instant::now(),
                outstanding: self.core.pipeline().counts().outstanding().saturating_sub(stranded),
                acknowledged_at: status.acknowledged_at(),
                errors: status.broker_errors(),
            };
            let actions = self.connection.handle(input, &view);
            inputs.extend(actions.into_iter().filter_map(|action| self.perform(action)));
        }
    }

    /// Performs an action; what comes of it at once is the next input.
    fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::BuildClient => {
                return Some(self.build_client().map_or_else(Input::ClientNotBuilt, |()| Input::ClientBuilt))
            }
            Action::RetireClient => self.retire(self.core.pipeline().remove_client()),
            Action::RefuseEvents(failure) => {
                self.core.pipeline().refuse_events(failure);
                self.core.drain();
            }
            Action::GiveUp(failure) => {
                self.core.status().fail();
                self.retire(self.core.pipeline().refuse_events(failure));
                self.core.drain();
            }
            Action::Probe(target) => self.start_probe(target),
            Action::SetConnected(is_connected) => {
                self.core.status().set_connected(is_connected);
                self.core.status().wish_for_topics();
            }
            Action::ForgetBrokerErrors => self.core.status().broker_errors().clear(),
            Action::ForgetErrorsOf(number) => self.core.status().broker_errors().forget(number),
            Action::AnswerStart(ticket, answer) => {
                self.core.loops().answer(ticket, answer.map(|()| Answer::Started).map_err(Box::new));
            }
            Action::AnswerHealth(ticket, health) => self.answer_health(ticket, health),
            Action::Log(line) => self.core.loops().log(line),
        }
        None
    }

    fn build_client(&mut self) -> Result<(), Failure> {
        let (core, settings) = (&self.core, self.core.settings());
        let weak = Arc::downgrade(core);
        let on_topic_question = move || {
            if let Some(core) = weak.upgrade() {
                core.status().wish_for_topics();
            }
        };
        let client = Client::create(&settings.client_config(), on_topic_question)
            .map_err(|error| settings.refusal(&error, core.status().broker_errors()))?;
        let client = Arc::new(client);
        self.generation += 1;
        core.status().set_generation(self.generation);
        let poller = Poller::spawn(core, Arc::clone(&client), self.generation)
            .map_err(|error| Failure::new(Kind::CONFIGURATION, format!("cannot start a thread: {error}")))?;
        self.pollers.push(poller);
        core.pipeline().install(client);
        core.drain();
        if self.generation > 1 {
            METRICS.rebuilds.add(1);
        }
        Ok(())
    }

    fn retire(&mut self, client: Option<Arc<Client>>) {
        // A probe of the dead client tells nothing about the next one.
        self.probe = None;
        if let Some(client) = client {
            client.purge();
        }
        if let Some(poller) = self.pollers.last() {
            poller.retire();
        }
    }

    fn join_ended_pollers(&mut self) {
        for ended in self.pollers.extract_if(.., |poller| poller.is_finished()) {
            ended.join();
        }
    }

    fn start_probe(&mut self, target: Target) {
        let Some(client) = self.core.pipeline().client() else { return };
        let usual_topic = self.core.settings().email_topic().to_owned();
        self.probe = Some(spawn_blocking(move || {
            let asked = Instant::now();
            let result = match target {
                Target::Any => client.probe(&usual_topic, PROBE_TIMEOUT).map_err(Silence::from),
                Target::Connected => client.probe_connected(&usual_topic, PROBE_TIMEOUT).map_err(Silence::from),
                Target::This(broker) => client.probe_broker(&broker, PROBE_TIMEOUT),
            };
            (result, asked.elapsed())
        }));
    }

    /// Looks topics up; those that are left then are looked up again after the pause.
    fn look_topics_up(&mut self, pause: Duration) {
        self.next_lookup = None;
        let Some(client) = self.core.pipeline().client() else { return };
        if self.core.status().is_connected() {
            self.lookup = Some(spawn_blocking(move || client.look_topics_up(PROBE_TIMEOUT)));
            self.next_lookup = Some((Instant::now() + pause, pause));
        } else if client.has_unknown_topics() {
            self.next_lookup = Some((Instant::now() + LOOKUP_INTERVAL, Duration::ZERO));
        }
    }

    fn look_left_topics_up(&mut self) {
        let pause = self.next_lookup.map_or(Duration::ZERO, |(_, pause)| pause);
        self.look_topics_up((pause * 2).clamp(LOOKUP_INTERVAL, LONGEST_LOOKUP_INTERVAL));
    }

    fn on_looked_up(&mut self, some_are_left: bool) {
        self.lookup = None;
        if !some_are_left {
            self.next_lookup = None;
        }
    }

    fn on_probed(&mut self, (result, waited): Probed) {
        self.probe = None;
        match result {
            Ok(brokers) => {
                self.core.status().note_answer();
                self.handle(Input::Answered { brokers, latency: waited });
            }
            Err(Silence { code, reason }) => {
                if let Some(reason) = reason {
                    self.core.status().broker_errors().note(code, &reason, Instant::now());
                }
                self.handle(Input::Silent { code: Kind::of(code).code, waited });
            }
        }
    }

    fn on_alarm(&mut self) {
        match self.core.status().take_death() {
            Some(Death { generation, failure, reason }) if self.is_present(generation) => {
                self.handle(Input::ClientDied { failure, reason });
            }
            // Of a death, only that of the present client matters; the alarm may have had another reason as well.
            _ => self.handle(Input::Alarmed),
        }
    }

    fn is_present(&self, generation: Generation) -> bool {
        self.pollers.last().is_some_and(|poller| poller.generation() == generation)
    }

    fn answer_health(&self, ticket: Ticket, cluster: ClusterHealth) {
        let pipeline = self.core.pipeline();
        let health = Health { cluster, queued: pipeline.waiting(), in_flight: pipeline.in_flight() };
        self.core.loops().answer(ticket, Ok(Answer::Health(Box::new(health))));
    }

    /// Answers every open question, and closes.
    async fn close(&mut self, timeout: Duration) -> Counts {
        self.handle(Input::StopAsked(closed()));
        self.inbox.close();
        while let Some(command) = self.inbox.recv().await {
            match command {
                Command::Start(ticket) => self.handle(Input::StartAsked(ticket)),
                Command::Health(ticket, deadline) => self.handle(Input::HealthAsked(ticket, deadline)),
                Command::Stop(stop) => (stop.reporter)(StopReport::default()),
            }
        }
        shutdown::close(&self.core, std::mem::take(&mut self.pollers), timeout).await
    }
}

/// The result of the probe; waits for ever when there is none.
async fn probed(probe: &mut Option<JoinHandle<Probed>>) -> Probed {
    match probe {
        Some(handle) => handle.await.unwrap_or((Err(Code::Fail.into()), Duration::ZERO)),
        None => pending().await,
    }
}

/// Whether a lookup left topics to look up; waits for ever when there is none.
async fn looked_up(lookup: &mut Option<JoinHandle<bool>>) -> bool {
    match lookup {
        Some(handle) => handle.await.unwrap_or(false),
        None => pending().await,
    }
}

/// Waits until this time; for ever when there is none.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(TokioInstant::from_std(deadline)).await,
        None => pending().await,
    }
}
