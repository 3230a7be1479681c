//! The thread of the worker: it feeds the engine and carries out what the engine wants.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet, LocalSet};

use super::clock::now;
use super::commands::{Command, Report};
use super::consumer::ConsumerThread;
use super::delivery::{Delivery, Outlet};
use super::engine::action::{Action, DrainReport};
use super::engine::attempt::{AttemptResult, Failure};
use super::engine::dead_letter::DeadLetter;
use super::engine::engine::Engine;
use super::engine::identity::RecordId;
use super::engine::input::Input;
use super::engine::notice::Notice;
use super::engine::record::Record;
use super::job::Jobs;
use super::kafka_log::KafkaLog;
use super::message::Message;
use super::news::{Ending, Listener, News, Processed};
use super::report::{line_of, Line};
use super::status::Status;
use super::undertaker::Undertaker;
use crate::kafka::librdkafka::name_of;

/// How often the engine's numbers are copied for scrapes, and old sessions closed.
const LOOK_AROUND: Duration = Duration::from_millis(500);
/// Inputs that are taken before the sockets are looked at again.
const BATCH: usize = 256;
/// Pause before a dead letter that Kafka did not take is reported, and so produced again.
const BURY_PAUSE: Duration = Duration::from_secs(1);

/// Everything that the thread owns.
pub(super) struct Shell {
    pub(super) engine: Engine,
    pub(super) handlers: Vec<Arc<str>>,
    pub(super) consumer: Option<ConsumerThread>,
    pub(super) delivery: Rc<Delivery>,
    pub(super) undertaker: Rc<Undertaker>,
    pub(super) status: Arc<Status>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) kafka_log: KafkaLog,
    /// Whether the application wants lines of level DEBUG.
    pub(super) logs_debug: bool,
    pub(super) attempts: Attempts,
    pub(super) ending: Option<Ending>,
}

/// The attempts and dead letters that are under way.
#[derive(Default)]
pub(super) struct Attempts {
    tasks: JoinSet<Input>,
    /// By task; for those of attempts, which may be dropped.
    records: HashMap<Id, RecordId>,
    handles: HashMap<RecordId, AbortHandle>,
}

impl Attempts {
    fn start(&mut self, id: RecordId, attempt: impl std::future::Future<Output = AttemptResult> + 'static) {
        let handle = self.tasks.spawn_local(async move { Input::AttemptEnded(id, attempt.await) });
        self.records.insert(handle.id(), id);
        self.handles.insert(id, handle);
    }

    fn bury(&mut self, id: RecordId, undertaker: Rc<Undertaker>, letter: DeadLetter) {
        self.tasks.spawn_local(async move {
            let result = undertaker.bury(&letter).await;
            if result.is_err() {
                tokio::time::sleep(BURY_PAUSE).await;
            }
            Input::DeadLetterEnded(id, result.map_err(name_of))
        });
    }

    fn cancel(&mut self, id: RecordId) {
        if let Some(handle) = self.handles.remove(&id) {
            handle.abort();
        }
    }

    /// What the next task that ends means for the engine; waits for ever while there is none.
    async fn next(&mut self) -> Option<Input> {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.input_of(ended),
            None => std::future::pending().await,
        }
    }

    /// The same of a task that has ended already.
    fn try_next(&mut self) -> Option<Input> {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            if let Some(input) = self.input_of(ended) {
                return Some(input);
            }
        }
        None
    }

    fn input_of(&mut self, ended: Result<(Id, Input), JoinError>) -> Option<Input> {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let record = self.records.remove(&task);
        if let Some(id) = record {
            if self.handles.get(&id).is_some_and(|handle| handle.id() == task) {
                self.handles.remove(&id);
            }
        }
        match (ended, record) {
            (Ok((_, input)), _) => Some(input),
            // Nobody knows how far it got.
            (Err(error), Some(id)) if error.is_panic() => {
                let crashed = Failure::Crashed { is_after_terminator: true };
                Some(Input::AttemptEnded(id, AttemptResult::Failed(crashed)))
            }
            (Err(_), _) => None,
        }
    }
}

impl Shell {
    /// Works until the engine has drained.
    pub(super) fn run(mut self, messages: UnboundedReceiver<Message>, runtime: &tokio::runtime::Runtime) -> Ending {
        let ending = LocalSet::new().block_on(runtime, self.work(messages));
        if let Some(consumer) = self.consumer.take() {
            consumer.close();
        }
        ending
    }

    async fn work(&mut self, mut messages: UnboundedReceiver<Message>) -> Ending {
        let mut look_around = tokio::time::interval(LOOK_AROUND);
        loop {
            let wake = self.engine.next_wake().unwrap_or_else(|| Instant::now() + LOOK_AROUND);
            tokio::select! {
                Some(message) = messages.recv() => self.on_message(message),
                Some(input) = self.attempts.next() => self.take(input),
                _ = look_around.tick() => self.look_around(),
                () = tokio::time::sleep_until(wake.into()) => self.take(Input::Tick),
            }
            for _ in 0..BATCH {
                if let Ok(message) = messages.try_recv() {
                    self.on_message(message);
                } else if let Some(input) = self.attempts.try_next() {
                    self.take(input);
                } else {
                    break;
                }
            }
            if let Some(ending) = self.ending.take() {
                if let Outlet::Smtp(pool) = &self.delivery.outlet {
                    pool.close().await;
                }
                return ending;
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Consumer(report) => self.on_report(report),
            Message::Answer(number, answer) => Jobs::answer(&self.delivery.jobs, number, answer),
            Message::SmtpToken(token) => {
                if let Outlet::Smtp(pool) = &self.delivery.outlet {
                    pool.set_token(token);
                }
            }
            // librdkafka asks late: it may have to sign in again before, and a token that has expired costs the connection.
            Message::KafkaTokenRenewed => {
                self.command(Command::RenewToken);
                self.undertaker.renew_token();
            }
            Message::ConsumerStarted(consumer) => self.consumer = Some(consumer),
            Message::Unreachable(cause) => self.tell_lines(|log| log.unreachable(&cause, Instant::now())),
            Message::Misconfigured(text) => self.ending = Some(Ending::Misconfigured(text)),
            Message::Drain => self.take(Input::Drain),
            Message::Abort => self.take(Input::Abort),
        }
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Input(input) => self.take(input),
            Report::Failed(error) => self.tell_lines(|log| log.failed(&error, Instant::now())),
            Report::Logged(line) => self.tell_lines(|log| log.logged(&line)),
            Report::Coordinated(is_coordinated) => {
                self.status.set_connected(is_coordinated);
                if is_coordinated {
                    self.tell_lines(|log| log.recovered(Instant::now()));
                }
            }
            Report::GaveUp(error) => {
                let text = self.kafka_log.gave_up(&error);
                self.ending = Some(Ending::GaveUp(text));
            }
        }
    }

    fn tell_lines(&mut self, line: impl FnOnce(&mut KafkaLog) -> Option<Line>) {
        if let Some(line) = line(&mut self.kafka_log) {
            self.listener.tell(News::Line(line));
        }
    }

    fn take(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.engine.handle(now(), input, &mut actions);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::ReadCommitted(partitions) => self.command(Command::ReadCommitted(partitions)),
            Action::Start { id, record, attempt, work } => {
                let began_ms = now().unix_ms;
                let (delivery, listener) = (Rc::clone(&self.delivery), Arc::clone(&self.listener));
                self.attempts.start(id, async move {
                    let result = delivery.attempt(Arc::clone(&record), attempt, work).await;
                    tell_processed(&*listener, &record, began_ms, &result);
                    result
                });
            }
            Action::CancelAttempt(id) => self.attempts.cancel(id),
            Action::Bury(id, letter) => self.attempts.bury(id, Rc::clone(&self.undertaker), letter),
            Action::Commit(id, positions) => self.command(Command::Commit(id, positions)),
            Action::Pause(partitions) => self.command(Command::Pause(partitions)),
            Action::Resume(partitions) => self.command(Command::Resume(partitions)),
            Action::Unassign(partitions) => self.command(Command::Unassign(partitions)),
            Action::Log(notice) => self.note(&notice),
            Action::Drained(report) => self.end(report),
        }
    }

    fn command(&self, command: Command) {
        if let Some(consumer) = &self.consumer {
            consumer.send(command);
        }
    }

    fn note(&self, notice: &Notice) {
        self.status.count(notice);
        // Nobody formats a line for each mail that nobody reads.
        if !self.logs_debug && matches!(notice, Notice::Delivered { .. } | Notice::Retry { .. }) {
            return;
        }
        if let Some(line) = line_of(notice, &self.handlers) {
            self.listener.tell(News::Line(line));
        }
    }

    fn end(&mut self, report: DrainReport) {
        self.ending.get_or_insert(Ending::Drained(report));
    }

    fn look_around(&mut self) {
        let (connections, replies) = match &self.delivery.outlet {
            Outlet::Smtp(pool) => {
                pool.close_idle();
                let replies = pool.replies().into_iter().map(|(stage, code, count)| (stage.as_str(), code, count));
                (pool.connections(), replies.collect())
            }
            Outlet::Folder(_) => (0, Vec::new()),
        };
        self.status.update(self.engine.gauges(), connections, replies);
    }
}

fn tell_processed(listener: &dyn Listener, record: &Record, began_ms: i64, result: &AttemptResult) {
    let Some(traceparent) = record.traceparent() else { return };
    let outcome = match result {
        AttemptResult::Accepted(_) | AttemptResult::Handled => "delivered",
        AttemptResult::Composed(_) => "composed",
        AttemptResult::Dropped => "dropped",
        AttemptResult::Failed(_) => "failed",
    };
    listener.tell(News::Processed(Box::new(Processed {
        traceparent: traceparent.to_owned(),
        topic: record.partition().topic().to_owned(),
        partition: record.partition().number(),
        offset: record.id().offset,
        event_id: record.event_id().map(ToString::to_string),
        event_type: record.event_type().to_string(),
        began_ms,
        ended_ms: now().unix_ms,
        outcome,
    })));
}
