//! Ids of events, by which consumers drop duplicates: UUIDs of version 7 (RFC 9562), which sort by time.

use parking_lot::Mutex;
use uuid::Uuid;

use super::Timestamp;

/// Random bits of an id, below its milliseconds.
const RANDOM_BITS: u32 = 74;
const RANDOM_MASK: u128 = (1 << RANDOM_BITS) - 1;

/// Bytes drawn from the system at once: enough for 32 milliseconds.
const DRAW: usize = 512;

/// The id of an event: a UUID of version 7.
pub type EventId = Uuid;

/// Puts version and variant between the bits of `milliseconds << RANDOM_BITS | random bits`.
fn with_version_and_variant(bits: u128) -> EventId {
    let (milliseconds, upper, lower) = (bits >> RANDOM_BITS, bits >> 62 & 0xfff, bits & ((1 << 62) - 1));
    Uuid::from_u128(milliseconds << 80 | 0x7 << 76 | upper << 64 | 0b10 << 62 | lower)
}

/// Makes ids, each greater than the one before, on any thread.
///
/// One belongs to one producer and is made after any fork: a copy in a child process would repeat its parent's ids. The
/// generators of the `uuid` crate draw randomness for each id, by a system call or from a thread's generator, which is
/// not seeded again after a fork; and they panic where there is no randomness.
pub struct EventIds(Mutex<State>);

struct State {
    /// Bits of the last id.
    last: u128,
    /// Drawn from the system and not used yet.
    randomness: Vec<u128>,
}

impl EventIds {
    /// A generator with randomness of the operating system.
    ///
    /// # Errors
    /// The system's, where it has no randomness.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut state = State { last: 0, randomness: Vec::with_capacity(DRAW / 16) };
        state.draw()?;
        Ok(Self(Mutex::new(state)))
    }

    /// The next id. Within a millisecond, or when the clock went back, it is one more than the last (RFC 9562,
    /// section 6.2); each new millisecond brings 74 new random bits.
    pub fn next(&self, now: Timestamp) -> EventId {
        let mut state = self.0.lock();
        with_version_and_variant(state.advance(now))
    }
}

impl State {
    fn advance(&mut self, now: Timestamp) -> u128 {
        let milliseconds = u128::from(now.millis().unsigned_abs());
        self.last = if milliseconds > self.last >> RANDOM_BITS {
            milliseconds << RANDOM_BITS | self.random_bits()
        } else {
            self.last + 1
        };
        self.last
    }

    /// New random bits. If the system has none, the last ones are used again with the new millisecond.
    fn random_bits(&mut self) -> u128 {
        if self.randomness.is_empty() {
            self.draw().unwrap_or_default();
        }
        self.randomness.pop().unwrap_or(self.last) & RANDOM_MASK
    }

    fn draw(&mut self) -> Result<(), getrandom::Error> {
        let mut bytes = [0; DRAW];
        getrandom::fill(&mut bytes)?;
        let (numbers, _) = bytes.as_chunks();
        self.randomness.extend(numbers.iter().map(|number| u128::from_le_bytes(*number)));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::{with_version_and_variant, EventId, EventIds, Timestamp, RANDOM_BITS};

    const NOW: i64 = 1_795_451_893_123_456;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    /// The random bits: all but milliseconds, version and variant.
    fn random_bits(id: EventId) -> (u128, u128) {
        (id.as_u128() >> 64 & 0xfff, id.as_u128() & ((1 << 62) - 1))
    }

    /// RFC 9562, appendix A.6.
    #[test]
    fn writes_the_example_of_the_rfc() {
        let id = with_version_and_variant(0x017f_22e2_79b0 << RANDOM_BITS | 0xcc3 << 62 | 0x18c4_dc0c_0c07_398f);
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(id.as_u128(), 0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f);
    }

    #[test]
    fn carries_milliseconds_version_and_variant() {
        let ids = EventIds::new().unwrap();
        for step in 0..10_000 {
            let now = at(NOW + step * 777);
            let id = ids.next(now).as_u128();
            assert_eq!(id >> 80, u128::from(now.millis().unsigned_abs()));
            assert_eq!(id >> 76 & 0xf, 7);
            assert_eq!(id >> 62 & 0b11, 0b10);
        }
    }

    #[test]
    fn rises_whatever_the_clock_does() {
        let ids = EventIds::new().unwrap();
        let mut last = 0;
        for step in [0, 0, 1, 999, 1000, 1000, -5_000_000, -5_000_000, 2000, i64::MIN / 2, i64::MAX / 2, 0] {
            for _ in 0..100 {
                let id = ids.next(at(NOW + step)).as_u128();
                assert!(id > last, "{id:x} after {last:x}, step {step}");
                last = id;
            }
        }
    }

    #[test]
    fn rises_when_the_random_bits_run_over() {
        let ids = EventIds::new().unwrap();
        let milliseconds = u128::from(at(NOW).millis().unsigned_abs());
        ids.0.lock().last = ((milliseconds + 1) << RANDOM_BITS) - 2;
        let [before, after] = [(); 2].map(|()| ids.next(at(NOW)).as_u128());
        assert!(after > before);
        assert_eq!([before >> 80, after >> 80], [milliseconds, milliseconds + 1]);
    }

    #[test]
    fn draws_new_random_bits_each_millisecond() {
        let ids = EventIds::new().unwrap();
        let drawn: Vec<_> = (0..1000).map(|step| random_bits(ids.next(at(NOW + step * 1000)))).collect();
        let lower: HashSet<_> = drawn.iter().map(|(_, lower)| lower).collect();
        assert_eq!(lower.len(), drawn.len());
        let ones = |bit: u32| drawn.iter().filter(|(upper, lower)| (upper << 62 | lower) >> bit & 1 == 1).count();
        for bit in 0..RANDOM_BITS {
            // Fair coins leave this range less than once in 10^18 runs.
            assert!((350..650).contains(&ones(bit)), "bit {bit}: {}", ones(bit));
        }
    }

    #[test]
    fn two_generators_share_nothing() {
        let [one, other] = [(); 2].map(|()| EventIds::new().unwrap());
        assert_ne!(random_bits(one.next(at(NOW))), random_bits(other.next(at(NOW))));
    }

    #[test]
    fn serves_threads_at_once() {
        let ids = EventIds::new().unwrap();
        let made: Vec<Vec<_>> = thread::scope(|scope| {
            let make = || (0..10_000).map(|_| ids.next(Timestamp::now())).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|own| own.is_sorted_by_key(EventId::as_u128)));
        assert_eq!(made.into_iter().flatten().collect::<HashSet<_>>().len(), 40_000);
    }
}
