//! A worker, as its owner holds it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::clock::now;
use super::consumer::ConsumerThread;
use super::delivery::{Delivery, Outlet};
use super::engine::action::DrainReport;
use super::engine::engine::Engine;
use super::job::{Answer, Jobs};
use super::kafka_context::KafkaContext;
use super::kafka_log::KafkaLog;
use super::message::Message;
use super::news::{Ending, Listener, News};
use super::polling::Plan;
use super::settings::Settings;
use super::shell::{Attempts, Shell};
use super::status::{Snapshot, Status};
use super::topics::{self, Trouble};
use super::undertaker::Undertaker;
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::librdkafka::{name_of, LatestToken, Token};
use crate::mail::Catalogue;
use crate::smtp::{Cause, Pool, Stage};

/// Time of one question to the cluster about the topics.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before it is asked again.
const TOPICS_PAUSE: Duration = Duration::from_secs(2);

/// A running worker. Dropped, it gives everything up at once.
pub(crate) struct Worker {
    messages: UnboundedSender<Message>,
    status: Arc<Status>,
    token: Arc<LatestToken>,
}

/// Why a worker cannot start. The text says what to do.
pub(crate) struct NotStarted(pub(crate) String);

impl Worker {
    /// Starts a worker, whose news go to `listener`. Reads files; connects in the background.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub(crate) fn start(
        settings: &Settings,
        tokens: (Option<Token>, Option<String>),
        logs_debug: bool,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, NotStarted> {
        let (kafka_token, smtp_token) = tokens;
        let catalogue = Catalogue::load(&settings.sources()).map_err(|mistakes| {
            let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            NotStarted(format!("templates: {}", lines.join("; ")))
        })?;
        let outlet = outlet_of(settings)?;
        if let (Outlet::Smtp(pool), Some(token)) = (&outlet, smtp_token) {
            pool.set_token(token);
        }
        let token = Arc::new(LatestToken::new(kafka_token));
        let context = KafkaContext::new(Arc::clone(&token));
        let refused = |error| NotStarted(settings.refusal(&error));
        let undertaker = Undertaker::new(settings.producer_config(), context).map_err(refused)?;
        // Only to see that it can be made: it would join the group before the topics are there.
        settings.consumer_config().create_native_config().map_err(refused)?;

        let (messages, received) = mpsc::unbounded_channel();
        let status = Arc::new(Status::new());
        let parts = Parts {
            settings: settings.clone(),
            catalogue,
            outlet,
            undertaker,
            status: Arc::clone(&status),
            listener,
            logs_debug,
            messages: messages.clone(),
            token: Arc::clone(&token),
        };
        let thread = thread::Builder::new().name("kafka-email-work".into()).spawn(move || parts.run(received));
        thread.map_err(|error| NotStarted(format!("cannot start the worker's thread: {error}")))?;
        Ok(Self { messages, status, token })
    }

    /// Lets the records at work finish, commits, and ends.
    pub(crate) fn drain(&self) {
        self.send(Message::Drain);
    }

    /// Gives everything up at once.
    pub(crate) fn abort(&self) {
        self.send(Message::Abort);
    }

    /// What a handler did.
    pub(crate) fn answer(&self, job: u64, answer: Answer) {
        self.send(Message::Answer(job, answer));
    }

    /// A fresh token for Kafka.
    pub(crate) fn set_kafka_token(&self, token: Token) {
        self.token.replace(token);
        self.send(Message::KafkaTokenRenewed);
    }

    /// A fresh token for the mail server.
    pub(crate) fn set_smtp_token(&self, token: String) {
        self.send(Message::SmtpToken(token));
    }

    /// Counters and gauges.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.status.snapshot()
    }

    fn send(&self, message: Message) {
        // A worker that has ended needs to hear nothing.
        let _ = self.messages.send(message);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The thread ends by itself. Whoever drops a handle may be the interpreter, which must not wait.
        self.abort();
    }
}

fn outlet_of(settings: &Settings) -> Result<Outlet, NotStarted> {
    match (settings.smtp(), settings.mail_folder()) {
        (_, Some(folder)) => Ok(Outlet::Folder(folder)),
        (Some(smtp), None) => Pool::new(smtp).map(|pool| Outlet::Smtp(Box::new(pool))).map_err(NotStarted),
        (None, None) => Err(NotStarted("neither a mail server nor mail_folder is set".to_owned())),
    }
}

/// What the thread is made of, on its way there.
struct Parts {
    settings: Settings,
    catalogue: Catalogue,
    outlet: Outlet,
    undertaker: Undertaker,
    status: Arc<Status>,
    listener: Arc<dyn Listener>,
    logs_debug: bool,
    messages: UnboundedSender<Message>,
    token: Arc<LatestToken>,
}

impl Parts {
    fn run(self, received: UnboundedReceiver<Message>) {
        let listener = Arc::clone(&self.listener);
        let ending = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => self.work(received, &runtime),
            Err(error) => Ending::GaveUp(format!("cannot start the worker's runtime: {error}")),
        };
        listener.tell(News::Ended(ending));
    }

    fn work(self, mut received: UnboundedReceiver<Message>, runtime: &tokio::runtime::Runtime) -> Ending {
        if let Outlet::Smtp(pool) = &self.outlet {
            if let Some(ending) = runtime.block_on(look_at_server(pool, &mut received)) {
                return ending;
            }
        }
        if let Err(error) = self.prepare_kafka() {
            return Ending::GaveUp(format!("cannot start a thread: {error}"));
        }
        let limits = self.settings.limits();
        let delivery = Delivery {
            catalogue: self.catalogue,
            sender: self.settings.sender(),
            envelope_from: self.settings.envelope_from().to_owned(),
            outlet: self.outlet,
            handler_timeout: self.settings.handler_timeout(),
            jobs: RefCell::new(Jobs::default()),
            listener: Arc::clone(&self.listener),
        };
        let shell = Shell {
            handlers: limits.handlers.clone(),
            engine: Engine::new(limits, seed(), now()),
            consumer: None,
            delivery: Rc::new(delivery),
            undertaker: Rc::new(self.undertaker),
            status: self.status,
            listener: Arc::clone(&self.listener),
            kafka_log: KafkaLog::new(self.settings.secrets(), self.logs_debug),
            logs_debug: self.logs_debug,
            attempts: Attempts::default(),
            ending: None,
        };
        shell.run(received, runtime)
    }

    /// Makes sure that the topics exist, and then starts the consumer; on a thread of its own, which may wait for Kafka.
    fn prepare_kafka(&self) -> io::Result<()> {
        let settings = self.settings.clone();
        let (config, topics) = (settings.producer_config(), settings.topics().to_vec());
        let plan = Plan { config: settings.consumer_config(), topics: topics.clone(), token: Arc::clone(&self.token) };
        let errors = Arc::new(BrokerErrors::new(settings.secrets()));
        let context = KafkaContext::noting(Arc::clone(&self.token), Arc::clone(&errors));
        let (messages, listener) = (self.messages.clone(), Arc::clone(&self.listener));
        let prepare = move || {
            let mut is_told = false;
            let message = loop {
                match topics::ensure(&config, context.clone(), &topics, TOPICS_TIMEOUT) {
                    Ok(()) => break consume(plan, &settings, &messages),
                    Err(Trouble::Missing(text)) => break Message::Misconfigured(text),
                    Err(Trouble::Unreachable(code)) => {
                        let unnamed = || format!("{} does not answer ({})", settings.servers(), name_of(code));
                        let cause = errors.text(Instant::now()).unwrap_or_else(unnamed);
                        let _ = messages.send(Message::Unreachable(cause));
                        if !std::mem::replace(&mut is_told, true) {
                            listener.tell(News::Started);
                        }
                    }
                }
                if messages.is_closed() {
                    return;
                }
                thread::sleep(TOPICS_PAUSE);
            };
            let is_started = matches!(message, Message::ConsumerStarted(_));
            let _ = messages.send(message);
            if is_started && !is_told {
                listener.tell(News::Started);
            }
        };
        thread::Builder::new().name("kafka-email-topics".into()).spawn(prepare).map(drop)
    }
}

fn consume(plan: Plan, settings: &Settings, messages: &UnboundedSender<Message>) -> Message {
    let first = match plan.build() {
        Ok(first) => first,
        Err(error) => return Message::Misconfigured(settings.refusal(&error)),
    };
    let reports = messages.clone();
    let report = move |report| drop(reports.send(Message::Consumer(report)));
    match ConsumerThread::spawn(plan, first, report) {
        Ok(consumer) => Message::ConsumerStarted(consumer),
        Err(error) => Message::Misconfigured(format!("cannot start the consumer's thread: {error}")),
    }
}

/// Signs in to the mail server once, to find mistakes at once. None: go on, although the server may be away.
async fn look_at_server(pool: &Pool, messages: &mut UnboundedReceiver<Message>) -> Option<Ending> {
    let looking = mistake_of(pool);
    tokio::pin!(looking);
    loop {
        tokio::select! {
            mistake = &mut looking => return mistake.map(Ending::Misconfigured),
            Some(message) = messages.recv() => match message {
                Message::SmtpToken(token) => pool.set_token(token),
                Message::Drain | Message::Abort => return Some(Ending::Drained(DrainReport::default())),
                _ => {}
            },
        }
    }
}

/// A failure that waiting does not mend.
async fn mistake_of(pool: &Pool) -> Option<String> {
    let failure = pool.check().await.err()?;
    let lasts = match failure.cause() {
        Cause::NoStartTls | Cause::Tls(_) | Cause::NoMechanism | Cause::CleartextRefused => true,
        Cause::Refused(reply) => failure.stage() == Stage::Auth && reply.code() >= 500,
        _ => false,
    };
    lasts.then(|| failure.to_string())
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Delays that are not random are still delays.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
