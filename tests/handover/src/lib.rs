//! `src/handover/handover.rs` in every order in which its threads may meet: nothing is lost, doubled or slept through.
//!
//! The event loop is played here, in its two kinds: one that watches the socket, and one without `add_reader`, whose
//! reader takes the ring off the socket first and calls `settle` a little later.
#![cfg(test)]

#[path = "../../../src/handover/handover.rs"]
mod handover;

/// Locks and atomics whose every order loom tries, in the form of those of the package.
mod sync {
    pub use loom::sync::atomic::{AtomicBool, Ordering};

    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use handover::{Bell, Handover, Turn};
use loom::thread;

/// A socket with a byte in it, or none. The kernel serves one thread after another, as a lock does.
struct Socket(sync::Mutex<bool>);

impl Bell for Socket {
    fn ring(&self) {
        *self.0.lock() = true;
    }

    fn hush(&self) {
        *self.0.lock() = false;
    }
}

#[derive(Default)]
struct CountedTurn(AtomicUsize);

impl Turn for CountedTurn {
    fn is_over(&self) -> bool {
        false
    }

    fn end(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Watching,
    Reading,
}

/// Rounds of the loop while the threads run; more of them find no more, and take much longer.
const ROUNDS: usize = 3;

/// A callback that the loop has in its queue: `settle(goes_on)`.
type Scheduled = bool;

struct EventLoop {
    kind: Kind,
    handover: Arc<Handover<u32, Socket>>,
    scheduled: VecDeque<Scheduled>,
    settled: Vec<u32>,
}

impl EventLoop {
    /// One round: looks at the socket, and runs what was scheduled. Whether there was anything to do.
    fn round(&mut self) -> bool {
        let before = self.scheduled.len();
        let rings = self.rings();
        self.scheduled.extend(rings.then_some(false));
        let due = match self.kind {
            Kind::Watching => self.scheduled.len(),
            Kind::Reading => before, // its task runs in this round, and what it schedules in the next
        };
        for goes_on in self.scheduled.drain(..due).collect::<Vec<_>>() {
            self.settle(goes_on);
        }
        rings || due > 0
    }

    fn rings(&self) -> bool {
        let mut socket = self.handover.bell().0.lock();
        match self.kind {
            Kind::Watching => *socket,
            Kind::Reading => mem::take(&mut *socket),
        }
    }

    /// As `Mailbox.settle`, with time for one item a bite.
    fn settle(&mut self, goes_on: bool) {
        if self.handover.begin(goes_on) {
            self.settled.extend(self.handover.next());
            self.scheduled.extend(self.handover.end().then_some(true));
        }
    }
}

/// Two threads hand four items over while the loop turns, until it has nothing to do any more.
fn everything_arrives_once(kind: Kind) {
    loom::model(move || {
        let handover = Arc::new(Handover::new(Socket(sync::Mutex::new(false))));
        let turn = Arc::new(CountedTurn::default());
        let batches = {
            let (handover, turn) = (Arc::clone(&handover), Arc::clone(&turn));
            thread::spawn(move || handover.append(&mut vec![1, 2, 3], Some(turn)))
        };
        let single = {
            let handover = Arc::clone(&handover);
            thread::spawn(move || handover.push(4))
        };
        let mut event_loop = EventLoop { kind, handover, scheduled: VecDeque::new(), settled: Vec::new() };
        for _ in 0..ROUNDS {
            event_loop.round();
        }
        batches.join().unwrap();
        single.join().unwrap();
        while event_loop.round() {}
        assert_eq!(event_loop.handover.waiting(), 0, "it sleeps, and something is left");
        let settled = &mut event_loop.settled;
        let place = |item| settled.iter().position(|other| *other == item);
        assert!(place(1) < place(2) && place(2) < place(3), "{settled:?}");
        settled.sort_unstable();
        assert_eq!(*settled, [1, 2, 3, 4]);
        assert_eq!(turn.0.load(Ordering::SeqCst), 1, "how often the turn was ended");
    });
}

#[test]
fn a_loop_that_watches_the_socket() {
    everything_arrives_once(Kind::Watching);
}

#[test]
fn a_loop_whose_reader_takes_the_ring() {
    everything_arrives_once(Kind::Reading);
}
