//! Events that wait for space in librdkafka's queue, first come, first queued.
//!
//! They wait here, in the native half, so that the polling thread can queue them in order the moment space appears,
//! without a detour over the event loop. Waiting counts towards the deadline of the publish: librdkafka starts its own
//! clock when it takes the message over, so a message that waited is watched here as well.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::outcome::Ticket;
use super::record::{OwnedRecord, Record};

/// The waiting line.
#[derive(Default)]
pub struct Backlog {
    line: Mutex<Line>,
    // Read without the lock: whether the lock is worth taking.
    waiting: AtomicUsize,
    watching: AtomicBool,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    watched: HashMap<Ticket, Instant>,
}

struct Waiting {
    record: OwnedRecord,
    ticket: Ticket,
    deadline: Instant,
}

/// An event that librdkafka did not take: whose, why, and for which topic.
pub type Refused = (Ticket, Code, String);

/// Tickets whose deadline passed.
#[derive(Default)]
pub struct Expired {
    /// Never queued.
    pub waiting: Vec<Ticket>,
    /// Queued after a wait, and not settled yet.
    pub queued: Vec<Ticket>,
}

impl Backlog {
    /// How many events wait.
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Whether an event may go to librdkafka directly without overtaking another.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is nothing here to look after.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && !self.watching.load(Ordering::Acquire)
    }

    /// Puts an event at the end of the line.
    pub fn push(&self, record: &Record<'_>, ticket: Ticket, deadline: Instant) {
        let mut line = self.line.lock();
        line.waiting.push_back(Waiting { record: OwnedRecord::from(record), ticket, deadline });
        self.publish_sizes(&line);
    }

    /// Queues from the front until `produce` says that the queue is full; returns who was refused for another reason.
    pub fn drain(&self, mut produce: impl FnMut(&Record<'_>, Ticket) -> Result<(), Code>) -> Vec<Refused> {
        let mut refused = Vec::new();
        let mut line = self.line.lock();
        while let Some(first) = line.waiting.front() {
            let (ticket, deadline) = (first.ticket, first.deadline);
            match first.record.with_borrowed(|record| produce(record, ticket)) {
                Err(Code::QueueFull) => break,
                Ok(()) => drop(line.watched.insert(ticket, deadline)),
                Err(code) => refused.push((ticket, code, first.record.topic().to_owned())),
            }
            line.waiting.pop_front();
        }
        self.publish_sizes(&line);
        refused
    }

    /// Takes an event out of the line; false when it is not waiting (any more).
    pub fn withdraw(&self, ticket: Ticket) -> bool {
        let mut line = self.line.lock();
        let before = line.waiting.len();
        line.waiting.retain(|waiting| waiting.ticket != ticket);
        self.publish_sizes(&line);
        line.waiting.len() < before
    }

    /// Stops watching an event that is settled.
    pub fn forget(&self, ticket: Ticket) {
        if self.watching.load(Ordering::Acquire) {
            let mut line = self.line.lock();
            line.watched.remove(&ticket);
            self.publish_sizes(&line);
        }
    }

    /// Takes out everyone whose deadline passed.
    pub fn expire(&self, now: Instant) -> Expired {
        let mut expired = Expired::default();
        let mut line = self.line.lock();
        // All publishes have the same deadline, so the line is sorted by it.
        while let Some(first) = line.waiting.pop_front_if(|first| first.deadline <= now) {
            expired.waiting.push(first.ticket);
        }
        line.watched.retain(|ticket, deadline| {
            let overdue = *deadline <= now;
            if overdue {
                expired.queued.push(*ticket);
            }
            !overdue
        });
        self.publish_sizes(&line);
        expired
    }

    /// Takes everyone who waits out of the line.
    pub fn clear(&self) -> Vec<Ticket> {
        let mut line = self.line.lock();
        let waiting = line.waiting.drain(..).map(|waiting| waiting.ticket).collect();
        self.publish_sizes(&line);
        waiting
    }

    fn publish_sizes(&self, line: &Line) {
        self.waiting.store(line.waiting.len(), Ordering::Release);
        self.watching.store(!line.watched.is_empty(), Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wait(backlog: &Backlog, slot: u32, deadline: Instant) -> Ticket {
        let ticket = Ticket::new(1, slot);
        backlog.push(&Record { topic: "t", key: b"k", payload: b"p", headers: &[("h", b"v")] }, ticket, deadline);
        ticket
    }

    #[test]
    fn queues_in_order_until_the_queue_is_full() {
        let backlog = Backlog::default();
        let later = Instant::now() + Duration::from_mins(1);
        let tickets: Vec<_> = (0..3).map(|slot| wait(&backlog, slot, later)).collect();
        let mut queued = Vec::new();
        let refused = backlog.drain(|record, ticket| {
            assert_eq!((record.topic, record.key, record.payload), ("t", b"k".as_slice(), b"p".as_slice()));
            assert_eq!(record.headers, &[("h", b"v".as_slice())]);
            if queued.len() == 2 {
                return Err(Code::QueueFull);
            }
            queued.push(ticket);
            Ok(())
        });
        assert!(refused.is_empty());
        assert_eq!(queued, tickets.get(..2).unwrap());
        assert_eq!(backlog.len(), 1);
    }

    #[test]
    fn a_refused_event_does_not_hold_up_the_next() {
        let backlog = Backlog::default();
        let later = Instant::now() + Duration::from_mins(1);
        let (bad, good) = (wait(&backlog, 0, later), wait(&backlog, 1, later));
        let refused = backlog.drain(|_, ticket| if ticket == bad { Err(Code::UnknownTopic) } else { Ok(()) });
        assert_eq!(refused, [(bad, Code::UnknownTopic, "t".to_owned())]);
        assert!(backlog.is_empty());
        assert!(!backlog.is_idle(), "the one that was queued is watched");
        backlog.forget(good);
        assert!(backlog.is_idle());
    }

    #[test]
    fn a_withdrawn_event_is_never_queued() {
        let backlog = Backlog::default();
        let ticket = wait(&backlog, 0, Instant::now() + Duration::from_mins(1));
        assert!(backlog.withdraw(ticket));
        assert!(!backlog.withdraw(ticket));
        assert!(backlog.drain(|_, _| unreachable!()).is_empty());
    }

    #[test]
    fn the_deadline_counts_while_waiting_and_after() {
        let backlog = Backlog::default();
        let now = Instant::now();
        let queued = wait(&backlog, 0, now);
        assert!(backlog.drain(|_, _| Ok(())).is_empty());
        let waiting = wait(&backlog, 1, now);
        let patient = wait(&backlog, 2, now + Duration::from_mins(1));
        let expired = backlog.expire(now);
        assert_eq!((expired.queued, expired.waiting), (vec![queued], vec![waiting]));
        assert_eq!(backlog.clear(), [patient]);
    }
}
