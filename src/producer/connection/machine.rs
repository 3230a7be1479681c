//! The state machine: which input leads where, and what has to be done.

use std::time::{Duration, Instant};

use super::backoff::doubled;
use super::probing::{Answer, Probing, PROBE_TIMEOUT, WATCH_INTERVAL};
use super::progress::Progress;
use super::questions::Questions;
use super::rebuild_log::RebuildLog;
use super::state::{Action, GivesUp, Input, StartPlan, State, View};
use crate::handover::Ticket;
use crate::kafka::failure::{Failure, Kind};
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::Broker;
use crate::kafka::log_line::LogEvent;
use crate::kafka::outage::Outage;

/// Probes of one connection attempt when no broker refuses and none answers.
pub(super) const PROBES_OF_ATTEMPT: u32 = 5;
/// Silent probes after which a connected cluster counts as out of reach: enough to ask each of three brokers by its
/// number. With `WATCH_INTERVAL` before the first one, an outage is noticed 8 s after the last acknowledgement.
pub(super) const PROBES_UNTIL_LOST: u32 = 5;
/// How long events may be outstanding without an acknowledgement, in a cluster that answers probes.
pub(super) const LONGEST_STALL: Duration = Duration::from_secs(6);
/// The first client in place of a dead one is built at once; this is the pause before the second. It doubles.
const REBUILD_BACKOFF: Duration = Duration::from_secs(1);
/// How long brokers have to answer a client that took the place of a dead one, with nothing outstanding, before it counts
/// as connected. The fatal errors of a producer id come with the first replies.
pub(super) const PROBATION: Duration = Duration::from_secs(3);

/// The state machine.
pub(in crate::producer) struct Connection {
    plan: StartPlan,
    pub(super) state: State,
    pub(super) probing: Probing,
    /// Clients in a row that were built in place of dead ones.
    rebuilds: u32,
    progress: Progress,
    outage: Outage,
    rebuilt_log: RebuildLog,
    lost_log: RebuildLog,
    /// What librdkafka said of the client that died last.
    last_words: String,
    pub(super) questions: Questions,
}

impl Connection {
    pub(in crate::producer) fn new(plan: StartPlan, now: Instant) -> Self {
        Self {
            plan,
            state: State::Starting,
            probing: Probing::new(now),
            rebuilds: 0,
            progress: Progress::new(now),
            outage: Outage::default(),
            rebuilt_log: RebuildLog::default(),
            lost_log: RebuildLog::default(),
            last_words: String::new(),
            questions: Questions::default(),
        }
    }

    /// What has to be done before anything happens.
    pub(in crate::producer) fn begin() -> Action {
        Action::BuildClient
    }

    /// When [`Input::TimePassed`] is due; None while only something else can change the state.
    pub(in crate::producer) fn next_deadline(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Rebuilding { at, .. } => *at,
            _ if self.state.has_client() => self.probing.deadline(),
            _ => None,
        };
        self.questions.deadline().into_iter().chain(own).min()
    }

    /// Takes an input and returns what has to be done, in order.
    pub(in crate::producer) fn handle(&mut self, input: Input, view: &View<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        let stall = self.progress.stall(view.outstanding, view.acknowledged_at, view.now);
        match input {
            Input::ClientBuilt => self.on_built(view, &mut actions),
            Input::ClientNotBuilt(failure) => self.on_not_built(failure, view, &mut actions),
            Input::ClientDied { failure, reason } => self.on_death(failure, reason, view, &mut actions),
            Input::Answered { brokers, latency } => self.on_answer(brokers, latency, stall, view, &mut actions),
            Input::Silent { code, waited } => self.on_silence(code, waited, view, &mut actions),
            Input::Alarmed => self.on_alarm(view, &mut actions),
            Input::TimePassed => self.on_time(view, &mut actions),
            Input::StartAsked(ticket) => self.on_start_asked(ticket, &mut actions),
            Input::HealthAsked(ticket, deadline) => self.on_health_asked(ticket, deadline, view, &mut actions),
            Input::StopAsked(failure) => self.on_stop(failure, &mut actions),
        }
        actions
    }

    fn on_built(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        match &self.state {
            State::Starting => self.state = State::Connecting { attempt: 1 },
            State::Rebuilding { cause, .. } => {
                let message =
                    format!("librdkafka gave its producer up, a new one is in its place: {}", self.last_words);
                actions.extend(self.rebuilt_log.line(LogEvent::ProducerRebuilt, message, view.now).map(Action::Log));
                self.state = State::Recovering { cause: cause.clone(), built: view.now, answered: None };
            }
            _ => return,
        }
        self.probing = Probing::new(view.now);
        actions.push(Action::ForgetBrokerErrors);
    }

    fn on_not_built(&mut self, failure: Failure, view: &View<'_>, actions: &mut Vec<Action>) {
        match &self.state {
            State::Starting => self.fail_start(failure, actions),
            State::Rebuilding { .. } => {
                let message = format!("librdkafka gave its producer up, and building a new one failed: {failure}");
                actions.extend(self.lost_log.line(LogEvent::ProducerLost, message, view.now).map(Action::Log));
                // What worked once may work again: a thread may be free, or a certificate in its place.
                self.rebuild(Failure::new(Kind::FATAL, failure.message), view, actions);
            }
            _ => {}
        }
    }

    fn on_death(&mut self, cause: Failure, reason: String, view: &View<'_>, actions: &mut Vec<Action>) {
        if !self.state.has_client() {
            return;
        }
        actions.push(Action::RetireClient);
        self.last_words = reason;
        if self.unproven(view).is_none() {
            self.rebuilds = 0;
        }
        if matches!(self.state, State::Connecting { .. }) {
            if self.plan.gives_up == GivesUp::AfterAttempts {
                return self.fail_start(cause, actions);
            }
            self.finish_start(actions);
        }
        self.rebuild(cause, view, actions);
    }

    /// The first client in place of a dead one is built at once, and events wait for it. If that one dies or cannot be
    /// built, events are refused with the cause until the next one is built, after a pause.
    fn rebuild(&mut self, cause: Failure, view: &View<'_>, actions: &mut Vec<Action>) {
        let is_first = self.rebuilds == 0 && !matches!(self.state, State::Rebuilding { .. });
        let at = (!is_first).then(|| view.now + doubled(REBUILD_BACKOFF, self.rebuilds.saturating_sub(1)));
        self.rebuilds += 1;
        actions.push(Action::SetConnected(false));
        self.questions.answer_health(&ClusterHealth::Ill(cause.message.clone()), actions);
        if is_first {
            actions.push(Action::BuildClient);
        } else {
            self.outage.begins(view.now);
            actions.push(Action::RefuseEvents(cause.clone()));
        }
        self.state = State::Rebuilding { cause, at };
    }

    fn on_answer(
        &mut self,
        brokers: Vec<Broker>,
        latency: Duration,
        stall: Duration,
        view: &View<'_>,
        actions: &mut Vec<Action>,
    ) {
        if !self.state.has_client() {
            return;
        }
        let count = brokers.len();
        let pause = match &self.state {
            State::Recovering { .. } => PROBE_TIMEOUT,
            // The next look comes just after the moment at which a stall counts, if not before.
            _ => WATCH_INTERVAL.min((LONGEST_STALL + Duration::from_millis(1)).saturating_sub(stall)),
        };
        match self.probing.answered(brokers, pause, view) {
            Answer::FromBroker(number) => actions.push(Action::ForgetErrorsOf(number)),
            // The brokers that it names will tell; a start only waits for somebody who lets it in.
            Answer::Hearsay if !matches!(self.state, State::Connecting { .. }) => return,
            Answer::FromSomebody | Answer::Hearsay => {}
        }
        if let State::Recovering { answered, .. } = &mut self.state {
            answered.get_or_insert(view.now);
            if let Some(cause) = self.unproven(view).filter(|_| stall <= LONGEST_STALL) {
                return self.questions.answer_health(&ClusterHealth::Ill(cause), actions);
            }
        }
        if stall > LONGEST_STALL && !matches!(self.state, State::Connecting { .. }) {
            return self.stall(stall, view, actions);
        }
        self.connect(view, actions);
        self.questions.answer_health(&ClusterHealth::Well { brokers: count, latency }, actions);
    }

    /// Why the client that took the place of a dead one does not count as connected yet.
    fn unproven(&self, view: &View<'_>) -> Option<String> {
        let State::Recovering { cause, built, answered } = &self.state else { return None };
        let was_acknowledged = view.acknowledged_at.is_some_and(|at| at > *built);
        let answers_long_enough = answered.is_some_and(|since| view.now.saturating_duration_since(since) >= PROBATION);
        let is_proven = was_acknowledged || (answers_long_enough && view.outstanding == 0);
        (!is_proven).then(|| cause.message.clone())
    }

    fn connect(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        self.rebuilds = 0;
        if !matches!(self.state, State::Connected) {
            self.state = State::Connected;
            // Set before answering: a caller that has its answer must see `is_connected`.
            actions.push(Action::SetConnected(true));
            // Connected again: drop all broker errors. While connected, one broker's error just expires.
            actions.push(Action::ForgetBrokerErrors);
        }
        self.finish_start(actions);
        actions.extend(self.outage.ends(view.now).map(Action::Log));
    }

    /// A broker answers, but the cluster acknowledges nothing: too few replicas, no leader, no controller.
    fn stall(&mut self, stall: Duration, view: &View<'_>, actions: &mut Vec<Action>) {
        let known = view.errors.text(view.now).map_or(String::new(), |cause| format!(" ({cause})"));
        let cause = format!("the brokers answer, but acknowledged no event for {} s{known}", stall.as_secs());
        self.probing.doubt(view.now);
        self.probing.postpone(PROBE_TIMEOUT, view.now);
        self.lose(State::Stalled, &cause, view, actions);
        self.questions.answer_health(&ClusterHealth::Ill(cause), actions);
    }

    fn lose(&mut self, state: State, cause: &str, view: &View<'_>, actions: &mut Vec<Action>) {
        self.state = state;
        actions.push(Action::SetConnected(false));
        actions.extend(self.outage.continues(cause, view.now).map(Action::Log));
    }

    fn on_silence(&mut self, code: &'static str, waited: Duration, view: &View<'_>, actions: &mut Vec<Action>) {
        if !self.state.has_client() {
            return;
        }
        self.probing.stayed_silent(waited, view.now);
        let error = view.errors.text(view.now);
        let may_answer = matches!(self.state, State::Connected | State::Recovering { .. });
        let is_lost = self.probing.silent() >= PROBES_UNTIL_LOST || !may_answer;
        // While no broker has reported an error, health checks wait: another broker may still answer in time.
        let is_certain = error.is_some() || is_lost;
        let is_refused = error.is_some();
        let cause = error.unwrap_or_else(|| format!("no broker answered ({code})"));
        match &mut self.state {
            State::Connecting { attempt } => {
                let attempt = *attempt;
                self.on_silent_attempt(attempt, is_refused, &cause, view, actions);
            }
            State::Recovering { answered, .. } if is_lost => {
                *answered = None;
                self.probing.slow_down(view);
                actions.extend(self.outage.continues(&cause, view.now).map(Action::Log));
            }
            State::Connected | State::Unreachable | State::Stalled if is_lost => {
                self.probing.slow_down(view);
                self.lose(State::Unreachable, &cause, view, actions);
            }
            _ => {}
        }
        if is_certain {
            self.questions.answer_health(&ClusterHealth::Ill(cause), actions);
        }
    }

    /// An attempt ends when a broker refuses, or none answers for long enough. If the refusing one is known from the
    /// cluster, somebody there let us in: the start is over when the others have had the time to answer.
    fn on_silent_attempt(
        &mut self,
        attempt: u32,
        is_refused: bool,
        cause: &str,
        view: &View<'_>,
        actions: &mut Vec<Action>,
    ) {
        let knows_brokers = view.errors.name_a_broker(view.now);
        if (!is_refused || knows_brokers) && self.probing.silent() < PROBES_OF_ATTEMPT {
            return;
        }
        actions.extend(self.outage.continues(cause, view.now).map(Action::Log));
        if knows_brokers {
            self.state = State::Unreachable;
            return self.finish_start(actions);
        }
        let is_required = self.plan.gives_up == GivesUp::AfterAttempts;
        if !is_required || attempt >= self.plan.max_attempts {
            return self.end_attempts(attempt, is_required, view, actions);
        }
        self.probing.rest(doubled(self.plan.retry_delay, attempt - 1), view.now);
        self.state = State::Connecting { attempt: attempt + 1 };
    }

    /// The first connection failed: that is an error, or probing continues in the background.
    fn end_attempts(&mut self, attempt: u32, is_error: bool, view: &View<'_>, actions: &mut Vec<Action>) {
        if is_error {
            return self.fail_start(view.errors.start_failure(&self.plan.servers, attempt, view.now), actions);
        }
        self.finish_start(actions);
        self.state = State::Unreachable;
    }

    fn on_alarm(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        match self.state {
            // Other errors do not shorten the pause between two attempts.
            State::Connecting { attempt } => {
                if view.errors.all_need_a_fix(self.plan.addresses()) {
                    self.end_attempts(attempt, self.plan.gives_up != GivesUp::Never, view, actions);
                }
            }
            State::Recovering { .. } if self.unproven(view).is_none() => self.connect(view, actions),
            // Each event that is refused raises an alarm.
            State::Connected if self.probing.was_sent_within(PROBE_TIMEOUT, view.now) => self.probing.hurry(view),
            _ => self.probe_soon(view, actions),
        }
    }

    fn on_time(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        if self.questions.deadline().is_some_and(|deadline| deadline <= view.now) {
            let cause = view.errors.text(view.now).unwrap_or_else(|| "no broker answered in the time given".into());
            self.questions.answer_late(&ClusterHealth::Ill(cause), view.now, actions);
        }
        if let State::Rebuilding { at, .. } = &mut self.state {
            if at.take_if(|at| *at <= view.now).is_some() {
                actions.push(Action::BuildClient);
            }
        } else if self.state.has_client() && self.probing.deadline().is_some_and(|next| next <= view.now) {
            // An acknowledgement says as much as a probe does.
            let acknowledged = view.acknowledged_at.filter(|_| matches!(self.state, State::Connected));
            let quiet = acknowledged.map(|at| view.now.saturating_duration_since(at));
            let rest = quiet.and_then(|quiet| WATCH_INTERVAL.checked_sub(quiet)).filter(|rest| !rest.is_zero());
            self.probing.postpone(rest.unwrap_or(WATCH_INTERVAL), view.now);
            if rest.is_none() {
                self.probe(view, actions);
            }
        }
    }

    /// Probes now, unless the cluster is out of reach and was probed a moment ago: each probe may make librdkafka try to
    /// connect, and each refused connection raises an alarm.
    fn probe_soon(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        let is_well = matches!(self.state, State::Connected) && self.probing.silent() == 0;
        if !is_well && self.probing.was_sent_lately(view) {
            self.probing.hurry(view);
        } else {
            self.probe(view, actions);
        }
    }

    fn probe(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        if self.state.has_client() {
            // A new client has to connect first: one address may have refused already, and the next one will not.
            let is_new = matches!(self.state, State::Connecting { .. } | State::Recovering { .. });
            actions.extend(self.probing.send(is_new, view).map(Action::Probe));
        }
    }

    fn on_start_asked(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        let answer = match &self.state {
            State::Starting | State::Connecting { .. } => return self.questions.ask_start(ticket),
            State::Failed(failure) | State::Stopped(failure) => Err(failure.clone()),
            _ => Ok(()),
        };
        actions.push(Action::AnswerStart(ticket, answer));
    }

    fn on_health_asked(&mut self, ticket: Ticket, deadline: Instant, view: &View<'_>, actions: &mut Vec<Action>) {
        let known = match &self.state {
            State::Rebuilding { cause, .. } | State::Failed(cause) | State::Stopped(cause) => cause.message.clone(),
            State::Unreachable if self.is_refused(view) => view.errors.text(view.now).unwrap_or_default(),
            _ => {
                self.questions.ask_health(ticket, deadline);
                return self.probe_soon(view, actions);
            }
        };
        actions.push(Action::AnswerHealth(ticket, ClusterHealth::Ill(known)));
    }

    fn on_stop(&mut self, failure: Failure, actions: &mut Vec<Action>) {
        self.questions.answer_start(&Err(failure.clone()), actions);
        self.questions.answer_health(&ClusterHealth::Ill(failure.message.clone()), actions);
        self.state = State::Stopped(failure);
    }

    /// Whether brokers refuse, and a probe would tell nothing new.
    fn is_refused(&self, view: &View<'_>) -> bool {
        view.errors.text(view.now).is_some() && self.probing.was_sent_lately(view)
    }

    fn finish_start(&mut self, actions: &mut Vec<Action>) {
        self.questions.answer_start(&Ok(()), actions);
    }

    fn fail_start(&mut self, failure: Failure, actions: &mut Vec<Action>) {
        self.questions.answer_start(&Err(failure.clone()), actions);
        self.questions.answer_health(&ClusterHealth::Ill(failure.message.clone()), actions);
        actions.push(Action::GiveUp(failure.clone()));
        self.state = State::Failed(failure);
    }
}
