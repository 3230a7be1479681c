//! The states of a connection, what changes them, and what has to be done then.

use std::time::{Duration, Instant};

use crate::handover::Ticket;
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::failure::Failure;
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::Broker;
use crate::kafka::log_line::LogLine;

/// Where the connection stands.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// The first client of librdkafka is being built.
    Starting,
    /// A client exists, no broker has answered it yet, and `start()` waits.
    Connecting { attempt: u32 },
    /// A broker answered lately, or an event was acknowledged.
    Connected,
    /// No broker answers. librdkafka reconnects by itself; probes show when it succeeds.
    Unreachable,
    /// Brokers answer, and acknowledge none of the outstanding events.
    Stalled,
    /// The client died, or none could be built; the next one is built when the back-off is over.
    Rebuilding {
        cause: Failure,
        /// None while the supervisor builds the client.
        at: Option<Instant>,
    },
    /// A client took the place of a dead one and has yet to prove itself.
    Recovering { cause: Failure, built: Instant, answered: Option<Instant> },
    /// `start()` raised this failure; nothing is tried until the manager closes the producer.
    Failed(Failure),
    /// The producer closes; every question gets an answer that says so.
    Stopped(Failure),
}

/// What happened.
#[derive(Clone, Debug)]
pub(in crate::producer) enum Input {
    ClientBuilt,
    ClientNotBuilt(Failure),
    /// The client reported a fatal error: what callers get, and librdkafka's words.
    ClientDied {
        failure: Failure,
        reason: String,
    },
    /// A broker answered the probe.
    Answered {
        brokers: Vec<Broker>,
        latency: Duration,
    },
    /// The probe failed or timed out.
    Silent {
        code: &'static str,
        waited: Duration,
    },
    /// librdkafka reported an error of a broker, an event failed for a reason that a probe may find gone, or an event was
    /// acknowledged while the connection was not known to be well.
    Alarmed,
    /// The time that [`Connection::next_deadline`] named has come.
    TimePassed,
    /// Somebody waits for the first connection.
    StartAsked(Ticket),
    /// Somebody asks how the cluster is, and wants an answer by then.
    HealthAsked(Ticket, Instant),
    /// The producer is closing; open and later questions get this failure.
    StopAsked(Failure),
}

/// What the supervisor has to do.
#[derive(Clone, Debug)]
pub(in crate::producer) enum Action {
    /// Build a client, and report with [`Input::ClientBuilt`] or [`Input::ClientNotBuilt`].
    BuildClient,
    /// Fail everything that the client holds, and let it end. Events wait until there is another one.
    RetireClient,
    /// Refuse events until a client is built.
    RefuseEvents(Failure),
    /// Fail everything that the client holds, let it end, and refuse events for good.
    GiveUp(Failure),
    /// Ask for the brokers, and report with [`Input::Answered`] or [`Input::Silent`].
    Probe(Target),
    SetConnected(bool),
    ForgetBrokerErrors,
    /// The broker with this number answered.
    ForgetErrorsOf(i32),
    AnswerStart(Ticket, Result<(), Failure>),
    AnswerHealth(Ticket, ClusterHealth),
    Log(LogLine),
}

/// How the first connection is made.
#[derive(Clone, Debug)]
pub(in crate::producer) struct StartPlan {
    /// Comma-separated `host:port` list, for error texts.
    pub(in crate::producer) servers: String,
    pub(in crate::producer) max_attempts: u32,
    /// Pause before the second attempt; it doubles.
    pub(in crate::producer) retry_delay: Duration,
    pub(in crate::producer) gives_up: GivesUp,
}

/// When a start fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::producer) enum GivesUp {
    /// When the cluster is out of reach, or refuses.
    AfterAttempts,
    /// When every address refuses for good; a cluster that is out of reach is connected to in the background.
    WhenRefused,
    /// Never.
    Never,
}

impl StartPlan {
    /// How many addresses there are to connect to first.
    pub(super) fn addresses(&self) -> usize {
        self.servers.split(',').filter(|server| !server.trim().is_empty()).count()
    }
}

/// Which broker is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::producer) enum Target {
    /// Whichever librdkafka chooses; wait for a connection if there is none.
    Any,
    /// A connected broker that librdkafka chooses. While brokers refuse, waiting for a connection would
    /// make librdkafka connect past its back-off.
    Connected,
    This(Broker),
}

/// What is known at the moment of an input.
#[derive(Clone, Copy)]
pub(in crate::producer) struct View<'a> {
    pub(in crate::producer) now: Instant,
    /// Events accepted that are neither acknowledged nor failed.
    pub(in crate::producer) outstanding: u64,
    /// When an event was acknowledged last.
    pub(in crate::producer) acknowledged_at: Option<Instant>,
    pub(in crate::producer) errors: &'a BrokerErrors,
}

impl State {
    /// Whether there is a client that can be probed.
    pub(super) fn has_client(&self) -> bool {
        match self {
            Self::Connecting { .. } | Self::Connected | Self::Unreachable | Self::Stalled | Self::Recovering { .. } => {
                true
            }
            Self::Starting | Self::Rebuilding { .. } | Self::Failed(_) | Self::Stopped(_) => false,
        }
    }
}
