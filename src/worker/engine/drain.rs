//! The orderly end of some assignments: records at work finish, a last commit is made, and the partitions are given back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::identity::Generation;

/// How long the acknowledgement of the last commit is awaited.
pub const LAST_COMMIT: Duration = Duration::from_secs(2);

/// Partitions that are given back together.
pub struct Release {
    generations: BTreeSet<Generation>,
    step: Step,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Records at work may finish until then.
    Finishing(Instant),
    /// The acknowledgement of the last commit is awaited until then.
    Committing(Instant),
}

impl Release {
    /// Begins; records at work may finish until then.
    pub fn new(generations: BTreeSet<Generation>, until: Instant) -> Self {
        Self { generations, step: Step::Finishing(until) }
    }

    /// The assignments.
    pub fn generations(&self) -> &BTreeSet<Generation> {
        &self.generations
    }

    /// An assignment ended in another way, or belongs to another release now.
    pub fn leave(&mut self, generation: Generation) {
        self.generations.remove(&generation);
    }

    /// How far it is.
    pub fn step(&self) -> Step {
        self.step
    }

    /// No record is at work any more.
    pub fn commit(&mut self, now: Instant) {
        self.step = Step::Committing(now + LAST_COMMIT);
    }

    /// When the step ends if nothing happens.
    pub fn deadline(&self) -> Instant {
        match self.step {
            Step::Finishing(at) | Step::Committing(at) => at,
        }
    }
}
