//! What the handle, the supervisor and the poller of one producer share.

use std::time::{Duration, Instant};

use super::backlog::Expired;
use super::broker_statistics::BrokerStatistics;
use super::closed::closed;
use super::command::{Reporter, Stop};
use super::loops::Loops;
use super::outcome::EventOutcome;
use super::owned_record::LateValue;
use super::pipeline::{Accepted, Pipeline, Refusal};
use super::settings::Settings;
use super::status::Status;
use crate::handover::{OnSettled, Ticket};
use crate::kafka::failure::Failure;
use crate::kafka::librdkafka::{Client, LatestToken, Record, Token};

/// The way out ([`Pipeline`]), the way back ([`Loops`]) and what is known ([`Status`]), with the settings.
pub(super) struct Core {
    settings: Settings,
    pipeline: Pipeline,
    loops: Loops,
    status: Status,
    brokers: BrokerStatistics,
    token: LatestToken,
    logs_librdkafka: bool,
}

impl Core {
    pub(super) fn new(settings: Settings, logs_librdkafka: bool, token: Option<Token>) -> Self {
        Self {
            pipeline: Pipeline::new(&settings),
            status: Status::new(&settings),
            settings,
            loops: Loops::new(),
            brokers: BrokerStatistics::default(),
            token: LatestToken::new(token),
            logs_librdkafka,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    pub(super) fn loops(&self) -> &Loops {
        &self.loops
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    pub(super) fn brokers(&self) -> &BrokerStatistics {
        &self.brokers
    }

    /// Whether librdkafka's own log lines go to the application's log.
    pub(super) fn logs_librdkafka(&self) -> bool {
        self.logs_librdkafka
    }

    /// Accepts a record, whose outcome will go to the ticket; or refuses it at once.
    pub(super) fn enqueue(
        &self,
        record: &Record<'_>,
        ticket: Ticket,
        keep: impl FnOnce() -> Option<Box<dyn LateValue>>,
    ) -> Result<Accepted, Failure> {
        if self.status.is_closing() {
            return Err(closed());
        }
        self.pipeline.enqueue(record, ticket, keep, self.refuse()).map_err(|refusal| self.failure_of(&refusal, record))
    }

    /// Hands over as much of the backlog as possible.
    pub(super) fn drain(&self) {
        self.pipeline.drain(self.refuse());
    }

    /// Does what is due now for the events that wait.
    pub(super) fn tick(&self) {
        self.loops.log_overdue();
        let Expired { waiting, queued } = self.pipeline.tick(self.status.is_closing(), self.refuse());
        for ticket in waiting {
            self.fail(ticket, self.status.expired_in_backlog(self.pipeline.met_full_queue()));
        }
        for ticket in queued {
            self.loops.settle(ticket, EventOutcome::Overdue(Box::new(self.status.overdue())));
        }
    }

    /// Refuses new events from now on; events that are outstanding now will be in the report.
    pub(super) fn stop(&self, timeout: Duration, reporter: Reporter) -> Stop {
        self.status.begin_closing();
        Stop { timeout, before: self.pipeline.counts(), asked: Instant::now(), reporter }
    }

    /// Gives up every event that waits in the backlog.
    pub(super) fn close_backlog(&self) {
        for ticket in self.pipeline.clear_backlog() {
            self.fail(ticket, closed());
        }
    }

    /// Replaces the OAUTHBEARER token, and gives it to the client.
    pub(super) fn set_token(&self, token: Token) {
        self.token.replace(token);
        if let Some(client) = self.pipeline.client() {
            self.show_token(&client);
        }
    }

    /// Gives a client the latest token, or the reason why there is none.
    pub(super) fn show_token(&self, client: &Client) {
        self.token.with(|token| client.set_token(token));
    }

    /// What becomes of records that the pipeline refuses after it had accepted them.
    fn refuse(&self) -> impl FnMut(&Record<'_>, Ticket, Refusal) + '_ {
        |record, ticket, refusal| self.fail(ticket, self.failure_of(&refusal, record))
    }

    fn failure_of(&self, refusal: &Refusal, record: &Record<'_>) -> Failure {
        let failure = self.status.refusal(refusal, record);
        if matches!(refusal, Refusal::Code(_)) && failure.may_pass_with_a_probe() {
            self.status.raise_alarm();
        }
        failure
    }

    fn fail(&self, ticket: Ticket, failure: Failure) {
        self.loops.settle(ticket, EventOutcome::Failed(Box::new(failure)));
    }
}

impl OnSettled for Core {
    fn waited_enough(&self) -> bool {
        self.pipeline.is_turn_over()
    }

    fn settled(&self) {
        self.pipeline.end_turn(self.refuse());
    }
}
