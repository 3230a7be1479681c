//! Adaptive batching: whether an event goes to librdkafka at once, or waits a moment for others to go with.
//!
//! librdkafka without a linger time sends nearly every event in a request of its own, and with idempotence its broker
//! thread spins while events wait behind those in flight (`rd_kafka_toppar_producer_serve`: the next wake-up is *now*).
//! So the gate lets a few events through at any time, and a wave gathers behind them. The wave goes when they are
//! acknowledged and the event loop has had its turn: coroutines whose events were acknowledged often publish again, and
//! their events belong to the wave. With many events in flight batches form by themselves, and the gate stays open.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// With so many events in flight, further ones gather behind them.
const FEW: usize = 4;
/// Send a wave of this size at once. With as many in flight librdkafka batches by itself: the gate stays open.
pub(super) const MANY: usize = 128;
/// Shortest and longest wait behind a wave in flight, whatever the round trip: one partition may have no leader, and the
/// events of the other partitions must not wait for it.
const PATIENCE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(40);

/// Counts the events in flight and knows how long a round trip takes.
pub(super) struct Gate {
    is_adaptive: bool,
    opened: Instant,
    in_flight: AtomicUsize,
    /// Microseconds after `opened` at which the loop's turn began; 0 when it has no turn.
    turn_since: AtomicU64,
    /// Microseconds, smoothed.
    round_trip: AtomicU64,
}

impl Gate {
    /// A gate that is always open unless batching is adaptive.
    pub(super) fn new(is_adaptive: bool) -> Self {
        Self {
            is_adaptive,
            opened: Instant::now(),
            in_flight: AtomicUsize::new(0),
            turn_since: AtomicU64::new(0),
            round_trip: AtomicU64::new(1_000),
        }
    }

    /// Whether an event may go to librdkafka now.
    pub(super) fn is_open(&self) -> bool {
        if !self.is_adaptive {
            return true;
        }
        let in_flight = self.in_flight.load(Ordering::Acquire);
        in_flight >= MANY || (in_flight < FEW && !self.is_turn())
    }

    /// Whether the loop has its turn. A loop that is blocked or closed does not keep it.
    fn is_turn(&self) -> bool {
        self.turn_lasts().is_some_and(|lasts| lasts < *PATIENCE.end())
    }

    fn turn_lasts(&self) -> Option<Duration> {
        let since = self.turn_since.load(Ordering::Acquire);
        (since > 0).then(|| self.opened.elapsed().saturating_sub(Duration::from_micros(since)))
    }

    fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip.load(Ordering::Relaxed))
    }

    /// An event goes to librdkafka.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// librdkafka did not take it.
    pub(super) fn turn_back(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Delivery reports came for so many events, the last of which librdkafka had for `latency`.
    pub(super) fn leave(&self, events: usize, latency: Duration) {
        self.in_flight.fetch_sub(events, Ordering::AcqRel);
        let smoothed = self.round_trip.load(Ordering::Relaxed);
        self.round_trip.store((smoothed * 7 + micros(latency)) / 8, Ordering::Relaxed);
    }

    /// Whether the loop should settle what was acknowledged before more events go.
    pub(super) fn is_turn_due(&self) -> bool {
        self.is_adaptive && self.in_flight.load(Ordering::Acquire) < FEW && !self.is_turn()
    }

    /// The loop settles what was acknowledged; events that are published meanwhile gather.
    pub(super) fn begin_turn(&self) {
        self.turn_since.store(micros(self.opened.elapsed()).max(1), Ordering::Release);
    }

    /// The loop has settled everything.
    pub(super) fn end_turn(&self) {
        self.turn_since.store(0, Ordering::Release);
    }

    /// Whether the loop's turn lasts so long that waiting on would cost more than a fuller wave gains.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn_lasts().is_some_and(|lasts| lasts > self.round_trip() / 4)
    }

    /// How long an event waits behind those in flight: until they should be acknowledged, and a little longer. A shorter
    /// wait would split a wave in two halves, each with a round trip of its own.
    pub(super) fn patience(&self) -> Duration {
        (self.round_trip() * 5 / 4).clamp(*PATIENCE.start(), *PATIENCE.end())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    fn gate_with(in_flight: usize) -> Gate {
        let gate = Gate::new(true);
        (0..in_flight).for_each(|_| gate.enter());
        gate
    }

    #[test]
    fn is_open_for_a_few_and_for_many() {
        assert!(gate_with(FEW - 1).is_open());
        assert!(!gate_with(FEW).is_open());
        assert!(!gate_with(MANY - 1).is_open());
        assert!(gate_with(MANY).is_open());
        let always = Gate::new(false);
        (0..FEW).for_each(|_| always.enter());
        assert!(always.is_open());
        assert!(!always.is_turn_due());
    }

    #[test]
    fn gathers_while_the_loop_has_its_turn() {
        let gate = gate_with(FEW);
        assert!(!gate.is_turn_due());
        gate.leave(FEW, Duration::from_millis(1));
        assert!(gate.is_turn_due());
        gate.begin_turn();
        assert!(!gate.is_open() && !gate.is_turn_due());
        gate.end_turn();
        assert!(gate.is_open());
    }

    #[test]
    fn a_turn_is_over_after_a_part_of_the_round_trip_and_forgotten_when_nobody_ends_it() {
        let gate = gate_with(0);
        gate.begin_turn();
        sleep(Duration::from_millis(1));
        assert!(gate.is_turn_over() && !gate.is_open());
        sleep(*PATIENCE.end());
        assert!(gate.is_open());
    }

    #[test]
    fn what_librdkafka_does_not_take_is_not_in_flight() {
        let gate = gate_with(FEW);
        gate.turn_back();
        assert!(gate.is_open());
    }

    #[test]
    fn patience_follows_the_round_trip_within_limits() {
        let gate = gate_with(300);
        (0..100).for_each(|_| gate.leave(1, Duration::ZERO));
        assert_eq!(gate.patience(), *PATIENCE.start());
        (0..100).for_each(|_| gate.leave(1, Duration::from_millis(10)));
        assert!((12..=13).contains(&gate.patience().as_millis()));
        (0..100).for_each(|_| gate.leave(1, Duration::from_secs(1)));
        assert_eq!(gate.patience(), *PATIENCE.end());
    }
}
