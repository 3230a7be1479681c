//! Whether the server refuses most mails for good: then the fault is more likely in the worker or in the server than in
//! each single record, and burying them all would be hasty.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many verdicts count.
const WINDOW: usize = 100;
/// How many there must be.
const FEWEST: usize = 20;
/// How long nothing is buried.
const LONGEST: Duration = Duration::from_hours(1);

/// The last verdicts of a target.
#[derive(Default)]
pub struct Refusals {
    /// Whether each was permanent.
    last: VecDeque<bool>,
    permanent: usize,
    holding: Holding,
}

#[derive(Default)]
enum Holding {
    /// Refusals are few.
    #[default]
    No,
    /// Nothing is buried until then.
    Until(Instant),
    /// Nothing was buried for long enough, and refusals are still many: they are meant.
    Over,
}

impl Refusals {
    /// Takes a verdict, and returns whether holding begins with it.
    pub fn count(&mut self, is_permanent: bool, now: Instant) -> bool {
        self.last.push_back(is_permanent);
        self.permanent += usize::from(is_permanent);
        if self.last.len() > WINDOW && self.last.pop_front() == Some(true) {
            self.permanent -= 1;
        }
        let is_known = self.last.len() >= FEWEST;
        let is_high = self.permanent * 2 > self.last.len();
        match self.holding {
            Holding::No if is_known && is_high => {
                self.holding = Holding::Until(now + LONGEST);
                return true;
            }
            Holding::Over if is_known && !is_high => self.holding = Holding::No,
            _ => {}
        }
        false
    }

    /// Until when nothing is buried.
    pub fn hold_until(&self) -> Option<Instant> {
        match self.holding {
            Holding::Until(until) => Some(until),
            _ => None,
        }
    }

    /// A mail was delivered: returns whether that ends the holding.
    pub fn relent(&mut self) -> bool {
        let was_holding = self.hold_until().is_some();
        if was_holding {
            *self = Self::default();
        }
        was_holding
    }

    /// Time has passed: returns whether that ends the holding.
    pub fn expire(&mut self, now: Instant) -> bool {
        let is_over = self.hold_until().is_some_and(|until| until <= now);
        if is_over {
            self.holding = Holding::Over;
        }
        is_over
    }
}
