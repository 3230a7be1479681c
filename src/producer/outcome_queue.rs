//! The way back: from librdkafka's threads to one event loop.
//!
//! A native thread pushes outcomes and, if the queue was empty, rings a bell: one byte on a socket that the loop
//! watches. The loop then takes everything at once. No native thread ever enters Python.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use super::lines::Lines;
use super::outcome::Outcome;
use crate::handover::{Handover, OnSettled, SocketBell};

/// An id that names a queue in tickets, and that this process never uses again.
pub(super) fn new_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Outcomes for one event loop, in the order in which they happened.
pub(crate) struct OutcomeQueue {
    id: u32,
    handover: Handover<Outcome, SocketBell>,
}

impl OutcomeQueue {
    /// A new queue.
    ///
    /// # Errors
    /// When the system has no socket left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { id: new_id(), handover: Handover::new(SocketBell::new()?) })
    }

    /// Names this queue in tickets.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The loop's end of the queue.
    pub(crate) fn handover(&self) -> &Handover<Outcome, SocketBell> {
        &self.handover
    }

    pub(super) fn push(&self, outcome: Outcome) {
        self.handover.push(outcome);
    }

    /// Adds the outcomes of one batch and leaves `batch` empty, with its capacity.
    pub(super) fn append(&self, batch: &mut Vec<Outcome>, on_settled: Option<Arc<dyn OnSettled>>) {
        self.handover.append(batch, on_settled);
    }

    /// Lets the loop write the lines that are waiting.
    pub(super) fn write(&self, lines: &Arc<Lines>) {
        self.push(Outcome::Lines(Arc::clone(lines)));
    }
}
