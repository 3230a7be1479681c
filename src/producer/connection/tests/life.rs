//! A connection with a made-up clock, and a supervisor that only takes notes.

use std::time::{Duration, Instant};

use super::super::machine::{Connection, LONGEST_STALL, PROBES_UNTIL_LOST};
use super::super::probing::PROBE_TIMEOUT;
use super::super::state::{Action, GivesUp, Input, StartPlan, State, View};
use crate::handover::Ticket;
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::failure::{Failure, Kind};
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::{Broker, Code};

impl State {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Connecting { .. } => "connecting",
            Self::Connected => "connected",
            Self::Unreachable => "unreachable",
            Self::Stalled => "stalled",
            Self::Rebuilding { .. } => "rebuilding",
            Self::Recovering { .. } => "recovering",
            Self::Failed(_) => "failed",
            Self::Stopped(_) => "stopped",
        }
    }
}

/// One life.
pub(super) struct Life {
    pub(super) connection: Connection,
    pub(super) errors: BrokerErrors,
    pub(super) began: Instant,
    pub(super) now: Instant,
    pub(super) outstanding: u64,
    pub(super) acknowledged_at: Option<Instant>,
    pub(super) tickets: u32,
    /// What the supervisor had to do.
    pub(super) done: Vec<Action>,
    /// Each pair of different states, one after the other.
    pub(super) passed: Vec<(&'static str, &'static str)>,
    pub(super) builds_fail: bool,
}

impl Life {
    pub(super) fn new(gives_up: GivesUp) -> Self {
        let now = Instant::now();
        let plan = StartPlan { servers: "a:1".into(), max_attempts: 2, retry_delay: Duration::from_secs(2), gives_up };
        Self {
            connection: Connection::new(plan, now),
            errors: BrokerErrors::new(Vec::new()),
            began: now,
            now,
            outstanding: 0,
            acknowledged_at: None,
            tickets: 0,
            done: Vec::new(),
            passed: Vec::new(),
            builds_fail: false,
        }
    }

    /// A life that has come to this state by the shortest way.
    pub(super) fn in_state(name: &str, gives_up: GivesUp) -> Self {
        let mut life = Self::new(gives_up);
        if name == "starting" {
            return life;
        }
        life.input(Input::ClientBuilt);
        match name {
            "connecting" => {}
            "connected" => life.answer(),
            "unreachable" => {
                life.answer();
                (0..PROBES_UNTIL_LOST).for_each(|_| life.silence());
            }
            "stalled" => {
                life.answer();
                life.stall();
            }
            "rebuilding" => {
                life.answer();
                life.builds_fail = true;
                life.die();
                life.builds_fail = false;
            }
            "recovering" => {
                life.answer();
                life.die();
            }
            "failed" => life.input(died()),
            other => panic!("no way to {other}"),
        }
        assert_eq!(life.state(), name);
        life
    }

    pub(super) fn state(&self) -> &'static str {
        self.connection.state.name()
    }

    pub(super) fn input(&mut self, input: Input) {
        let before = self.state();
        let view = View {
            now: self.now,
            outstanding: self.outstanding,
            acknowledged_at: self.acknowledged_at,
            errors: &self.errors,
        };
        let actions = self.connection.handle(input, &view);
        if self.state() != before {
            self.passed.push((before, self.state()));
        }
        for action in actions {
            match &action {
                Action::BuildClient if self.builds_fail => self.input(Input::ClientNotBuilt(no_thread())),
                Action::BuildClient => self.input(Input::ClientBuilt),
                Action::ForgetBrokerErrors => self.errors.clear(),
                Action::ForgetErrorsOf(number) => self.errors.forget(*number),
                _ => {}
            }
            self.done.push(action);
        }
    }

    pub(super) fn answer(&mut self) {
        self.input(Input::Answered { brokers: (1..=3).map(broker).collect(), latency: Duration::from_millis(1) });
    }

    pub(super) fn silence(&mut self) {
        self.after(PROBE_TIMEOUT);
        self.input(Input::Silent { code: "REQUEST_TIMED_OUT", waited: PROBE_TIMEOUT });
    }

    pub(super) fn broker_error(&mut self, code: Code) {
        self.errors.note(code, "a:1/bootstrap: Connection refused", self.now);
        self.input(Input::Alarmed);
    }

    /// Every broker of the cluster refuses.
    pub(super) fn all_refuse(&mut self) {
        for number in 1..=3 {
            let reason = format!("broker-{number}:9092/{number}: Connection refused");
            self.errors.note(Code::BrokerTransportFailure, &reason, self.now);
        }
    }

    pub(super) fn die(&mut self) {
        self.input(died());
    }

    pub(super) fn publish(&mut self) {
        self.outstanding += 1;
    }

    pub(super) fn acknowledge(&mut self) {
        self.outstanding -= 1;
        self.acknowledged_at = Some(self.now);
    }

    pub(super) fn after(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets the time pass that the connection asks for.
    pub(super) fn wait(&mut self) {
        self.now = self.now.max(self.connection.next_deadline().unwrap());
        self.input(Input::TimePassed);
    }

    /// Brokers answer, and acknowledge nothing.
    pub(super) fn stall(&mut self) {
        self.publish();
        self.answer();
        self.after(LONGEST_STALL + Duration::from_secs(1));
        self.answer();
    }

    pub(super) fn ask_health(&mut self) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket::new(1, self.tickets);
        self.input(Input::HealthAsked(ticket, self.now + Duration::from_secs(2)));
        ticket
    }

    pub(super) fn ask_start(&mut self) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket::new(2, self.tickets);
        self.input(Input::StartAsked(ticket));
        ticket
    }

    pub(super) fn health(&self, ticket: Ticket) -> Vec<&ClusterHealth> {
        let answer = |action| match action {
            &Action::AnswerHealth(asked, ref health) if asked == ticket => Some(health),
            _ => None,
        };
        self.done.iter().filter_map(answer).collect()
    }

    pub(super) fn start_result(&self, ticket: Ticket) -> Vec<&Result<(), Failure>> {
        let answer = |action| match action {
            &Action::AnswerStart(asked, ref result) if asked == ticket => Some(result),
            _ => None,
        };
        self.done.iter().filter_map(answer).collect()
    }

    pub(super) fn count(&self, is_it: impl Fn(&Action) -> bool) -> usize {
        self.done.iter().filter(|action| is_it(action)).count()
    }

    pub(super) fn log(&self) -> Vec<&'static str> {
        let line = |action: &Action| match action {
            Action::Log(line) => Some(line.event.name()),
            _ => None,
        };
        self.done.iter().filter_map(line).collect()
    }
}

pub(super) fn fatal() -> Failure {
    Failure::new(Kind::of(Code::ClusterAuthorizationFailed), "grant the right to write")
}

pub(super) fn broker(number: i32) -> Broker {
    Broker::new(number, format!("broker-{number}"), 9092)
}

pub(super) fn died() -> Input {
    Input::ClientDied { failure: fatal(), reason: "not allowed".into() }
}

pub(super) fn closed() -> Failure {
    Failure::new(Kind::CLOSED, "stopped")
}

pub(super) fn no_thread() -> Failure {
    Failure::new(Kind::CONFIGURATION, "cannot start a thread")
}
