//! The state machine.

use std::time::Instant;

use super::action::Action;
use super::input::{Input, Now};
use super::limits::Limits;

/// The engine.
pub struct Engine {
    limits: Limits,
    seed: u64,
}

impl Engine {
    /// An engine without partitions. The seed makes its delays random.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self { limits, seed }
    }

    /// Takes an input and appends what has to be done, in order.
    pub fn handle(&mut self, now: Now, input: Input, actions: &mut Vec<Action>) {
        let _ = (&self.limits, self.seed, now, input, actions);
    }

    /// When [`Input::Tick`] is due; None while only something else can change the state.
    pub fn next_wake(&self) -> Option<Instant> {
        None
    }
}
