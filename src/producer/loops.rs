//! The way back to the event loops: which queue belongs to which loop.

use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::outcome::{Answer, EventOutcome, Outcome};
use super::outcome_queue::OutcomeQueue;
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::log_line::LogLine;

/// The queues of the loops that publish, or published. A queue lives as long as its mailbox in Python.
#[derive(Default)]
pub(super) struct Loops(RwLock<Vec<(u32, Weak<OutcomeQueue>)>>);

impl Loops {
    /// Sends outcomes to this queue from now on, as long as it exists.
    pub(super) fn attach(&self, queue: &Arc<OutcomeQueue>) {
        if !self.0.read().iter().any(|(id, _)| *id == queue.id()) {
            let mut queues = self.0.write();
            queues.retain(|(_, queue)| queue.strong_count() > 0);
            queues.push((queue.id(), Arc::downgrade(queue)));
        }
    }

    /// The queue of a loop, unless that loop is gone.
    pub(super) fn queue(&self, id: u32) -> Option<Arc<OutcomeQueue>> {
        self.0.read().iter().find(|(attached, _)| *attached == id).and_then(|(_, queue)| queue.upgrade())
    }

    /// Sends an event's outcome to the loop that waits for it.
    pub(super) fn settle(&self, ticket: Ticket, outcome: EventOutcome) {
        if let Some(queue) = self.queue(ticket.queue()) {
            queue.push(Outcome::Event(ticket.slot(), outcome));
        }
    }

    /// Sends an answer to the loop that asked.
    pub(super) fn answer(&self, ticket: Ticket, answer: Result<Answer, Box<Failure>>) {
        if let Some(queue) = self.queue(ticket.queue()) {
            queue.push(Outcome::Answer(ticket.slot(), answer));
        }
    }

    /// Logs a line through the loop that was attached last.
    pub(super) fn log(&self, line: LogLine) {
        let queue = self.0.read().iter().rev().find_map(|(_, queue)| queue.upgrade());
        if let Some(queue) = queue {
            queue.log(line);
        }
    }
}
