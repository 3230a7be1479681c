//! When commits go out: one in flight at most, and not too close to each other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::action::CommitId;
use super::identity::Generation;

/// The shortest time between two commits.
pub const SPACING: Duration = Duration::from_millis(50);
/// The pause after a commit that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The commit in flight, and when there may be another.
#[derive(Default)]
pub struct Commits {
    in_flight: Option<(CommitId, BTreeSet<Generation>)>,
    not_before: Option<Instant>,
    /// Whether the last one that ended was refused.
    was_refused: bool,
    last: u64,
}

impl Commits {
    /// When a commit may be sent; None while one is in flight.
    pub fn may_send_at(&self, now: Instant) -> Option<Instant> {
        self.in_flight.is_none().then(|| self.not_before.map_or(now, |at| at.max(now)))
    }

    /// A commit of these generations is sent.
    pub fn send(&mut self, generations: BTreeSet<Generation>, now: Instant) -> CommitId {
        self.last += 1;
        let id = CommitId(self.last);
        self.in_flight = Some((id, generations));
        self.not_before = Some(now + SPACING);
        id
    }

    /// The commit in flight ended; returns its generations. Word of any other commit is late and returns none.
    pub fn end(&mut self, id: CommitId, is_stored: bool, now: Instant) -> Option<BTreeSet<Generation>> {
        let (_, generations) = self.in_flight.take_if(|(in_flight, _)| *in_flight == id)?;
        self.was_refused = !is_stored;
        if !is_stored {
            self.not_before = Some(now + AFTER_FAILURE);
        }
        Some(generations)
    }

    /// Whether a commit of one of these generations is in flight.
    pub fn is_pending(&self, generations: &BTreeSet<Generation>) -> bool {
        self.in_flight.as_ref().is_some_and(|(_, sent)| !sent.is_disjoint(generations))
    }

    /// The generations of the commit in flight.
    pub fn in_flight(&self) -> impl Iterator<Item = &Generation> {
        self.in_flight.iter().flat_map(|(_, generations)| generations)
    }

    /// Whether Kafka refused the last commit that ended, as it does during a rebalance.
    pub fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// Nobody will tell how the commit in flight ends: the client died, or it took too long.
    pub fn forget(&mut self) {
        self.in_flight = None;
        self.was_refused = false;
    }
}
