//! Questions that wait for an answer.

use std::time::Instant;

use super::state::Action;
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::health::ClusterHealth;

/// Who waits for the first connection, and who asks how the cluster is.
#[derive(Default)]
pub(super) struct Questions {
    start: Vec<Ticket>,
    health: Vec<(Ticket, Instant)>,
}

impl Questions {
    pub(super) fn ask_start(&mut self, ticket: Ticket) {
        self.start.push(ticket);
    }

    /// Somebody wants to know by `deadline`.
    pub(super) fn ask_health(&mut self, ticket: Ticket, deadline: Instant) {
        self.health.push((ticket, deadline));
    }

    /// When the first question about the health has to be answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.health.iter().map(|(_, deadline)| *deadline).min()
    }

    pub(super) fn answer_start(&mut self, answer: &Result<(), Failure>, actions: &mut Vec<Action>) {
        actions.extend(self.start.drain(..).map(|ticket| Action::AnswerStart(ticket, answer.clone())));
    }

    pub(super) fn answer_health(&mut self, health: &ClusterHealth, actions: &mut Vec<Action>) {
        actions.extend(self.health.drain(..).map(|(ticket, _)| Action::AnswerHealth(ticket, health.clone())));
    }

    /// Answers the questions about the health whose deadline has come.
    pub(super) fn answer_late(&mut self, health: &ClusterHealth, now: Instant, actions: &mut Vec<Action>) {
        let late = self.health.extract_if(.., |(_, deadline)| *deadline <= now);
        actions.extend(late.map(|(ticket, _)| Action::AnswerHealth(ticket, health.clone())));
    }
}
