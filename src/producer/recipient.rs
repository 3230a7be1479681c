//! Who gets the outcomes of events.

use std::sync::Arc;

use super::calls::Calls;
use super::outcome::Outcome;
use super::outcome_queue::OutcomeQueue;
use crate::handover::OnSettled;

/// An event loop, or the threads that wait without one.
pub(super) enum Recipient {
    Loop(Arc<OutcomeQueue>),
    Threads(Arc<Calls>),
}

impl Recipient {
    pub(super) fn id(&self) -> u32 {
        match self {
            Self::Loop(queue) => queue.id(),
            Self::Threads(calls) => calls.id(),
        }
    }

    /// Whether it has its turn to settle a batch before more events go.
    pub(super) fn has_turns(&self) -> bool {
        matches!(self, Self::Loop(_))
    }

    /// Hands the outcomes of one batch over and leaves `batch` empty.
    pub(super) fn settle(&self, batch: &mut Vec<Outcome>, on_settled: Option<Arc<dyn OnSettled>>) {
        match self {
            Self::Loop(queue) => queue.append(batch, on_settled),
            Self::Threads(calls) => calls.settle_all(batch),
        }
    }
}
