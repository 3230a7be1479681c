//! Every order in which the threads of a [`Handover`] may meet: nothing is lost, doubled or slept through.
//!
//! The event loop is played here, in its two kinds: one that watches the socket, and one without `add_reader`, whose
//! reader takes the ring off the socket first and calls `settle` a little later.

#![allow(clippy::unwrap_used)]

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::handover::{Bell, Handover, OnSettled};

/// A socket with a byte in it, or none. The kernel serves one thread after another, as a lock does.
struct Socket(Mutex<bool>);

impl Bell for Socket {
    fn ring(&self) {
        *self.0.lock().unwrap() = true;
    }

    fn clear(&self) {
        *self.0.lock().unwrap() = false;
    }
}

#[derive(Default)]
struct CountSettled(AtomicUsize);

impl OnSettled for CountSettled {
    fn waited_enough(&self) -> bool {
        false
    }

    fn settled(&self) {
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

struct EventLoop {
    kind: Kind,
    handover: Arc<Handover<u32, Socket>>,
    /// How often `settle` is in the loop's queue.
    scheduled: usize,
    settled: Vec<u32>,
}

impl EventLoop {
    /// One iteration: looks at the socket, and runs what was scheduled. Returns whether there was anything to do.
    fn round(&mut self) -> bool {
        let rings = usize::from(self.rings());
        let due = match self.kind {
            Kind::Watching => rings,
            // The reader's task runs in this round, and what it schedules in the next.
            Kind::Reading => mem::replace(&mut self.scheduled, rings),
        };
        (0..due).for_each(|_| self.settle());
        rings + due > 0
    }

    fn rings(&self) -> bool {
        let mut socket = self.handover.bell().0.lock().unwrap();
        match self.kind {
            Kind::Watching => *socket,
            Kind::Reading => mem::take(&mut *socket),
        }
    }

    /// As `Mailbox.settle`, with time for one item in each slice.
    fn settle(&mut self) {
        self.handover.begin();
        self.settled.extend(self.handover.next());
        self.handover.end();
    }
}

/// Two threads hand four items over while the loop turns, until it has nothing to do any more.
fn everything_arrives_once(kind: Kind) {
    loom::model(move || {
        let handover = Arc::new(Handover::new(Socket(Mutex::new(false))));
        let count = Arc::new(CountSettled::default());
        let batches = {
            let (handover, count) = (Arc::clone(&handover), Arc::clone(&count));
            thread::spawn(move || handover.append(&mut vec![1, 2, 3], Some(count)))
        };
        let single = {
            let handover = Arc::clone(&handover);
            thread::spawn(move || handover.push(4))
        };
        let mut event_loop = EventLoop { kind, handover, scheduled: 0, settled: Vec::new() };
        for _ in 0..ROUNDS {
            event_loop.round();
        }
        batches.join().unwrap();
        single.join().unwrap();
        while event_loop.round() {}
        let settled = &mut event_loop.settled;
        let place = |item| settled.iter().position(|other| *other == item);
        assert!(place(1) < place(2) && place(2) < place(3), "{settled:?}");
        settled.sort_unstable();
        assert_eq!(*settled, [1, 2, 3, 4]);
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "how often `settled` was called");
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
