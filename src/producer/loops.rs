//! The way back: which queue belongs to which event loop, and the calls of threads without a loop.

use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::calls::Calls;
use super::lines::Lines;
use super::outcome::{Answer, EventOutcome, Outcome};
use super::outcome_queue::OutcomeQueue;
use super::recipient::Recipient;
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::log_line::LogLine;

/// The queues of the loops that publish, or published, and the lines that the next of these loops writes.
pub(super) struct Loops {
    /// The first is that of the loop that opened the producer. A queue lives as long as its mailbox in Python.
    queues: RwLock<Vec<(u32, Weak<OutcomeQueue>)>>,
    calls: Arc<Calls>,
    lines: Arc<Lines>,
}

impl Loops {
    pub(super) fn new() -> Self {
        let lines = Arc::default();
        Self { queues: RwLock::default(), calls: Arc::new(Calls::new(Arc::clone(&lines))), lines }
    }

    /// The calls of threads that wait without a loop.
    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// Sends outcomes to this queue from now on, as long as it exists.
    pub(super) fn attach(&self, queue: &Arc<OutcomeQueue>) {
        if !self.queues.read().iter().any(|(id, _)| *id == queue.id()) {
            let mut queues = self.queues.write();
            queues.retain(|(_, queue)| queue.strong_count() > 0);
            queues.push((queue.id(), Arc::downgrade(queue)));
            self.write_lines(queue);
        }
    }

    /// Who waits for the outcomes of tickets with this id, unless that loop is gone.
    pub(super) fn recipient(&self, id: u32) -> Option<Recipient> {
        if id == self.calls.id() {
            return Some(Recipient::Threads(Arc::clone(&self.calls)));
        }
        self.queue(id).map(Recipient::Loop)
    }

    fn queue(&self, id: u32) -> Option<Arc<OutcomeQueue>> {
        self.queues.read().iter().find(|(attached, _)| *attached == id).and_then(|(_, queue)| queue.upgrade())
    }

    /// Sends an event's outcome to whoever waits for it.
    pub(super) fn settle(&self, ticket: Ticket, outcome: EventOutcome) {
        if let Some(recipient) = self.recipient(ticket.queue()) {
            recipient.settle(&mut vec![Outcome::Event(ticket.slot(), outcome)], None);
        }
    }

    /// Sends an answer to the loop that asked.
    pub(super) fn answer(&self, ticket: Ticket, answer: Result<Answer, Box<Failure>>) {
        if let Some(queue) = self.queue(ticket.queue()) {
            // The answer may be the last thing that is heard of the producer.
            self.write_lines(&queue);
            queue.push(Outcome::Answer(ticket.slot(), answer));
        }
    }

    /// Logs a line through a loop; through the next one that comes, if there is none.
    pub(super) fn log(&self, line: LogLine) {
        if self.lines.add(line) {
            let first = self.queues.read().iter().find_map(|(_, queue)| queue.upgrade());
            if let Some(queue) = first {
                queue.write(&self.lines);
            }
        }
    }

    /// Lets any loop write what the first one has not written.
    pub(super) fn log_overdue(&self) {
        if self.lines.are_overdue() {
            for queue in self.queues.read().iter().filter_map(|(_, queue)| queue.upgrade()) {
                queue.write(&self.lines);
            }
        }
    }

    fn write_lines(&self, queue: &OutcomeQueue) {
        if self.lines.are_waiting() {
            queue.write(&self.lines);
        }
    }
}
