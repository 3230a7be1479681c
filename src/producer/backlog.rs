//! Events on their way to librdkafka, first come, first queued: behind those in flight (see [`crate::producer::gate`]), or because
//! its queue is full.
//!
//! They wait here, in the native half, so that they can be queued in order the moment they may, without a detour over
//! the event loop. Waiting counts towards the deadline of the publish: librdkafka starts its own clock when it takes the
//! message over, so a message that waited for long is watched here as well.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::kafka::librdkafka::record::{OwnedRecord, Record};
use crate::producer::outcome::Ticket;

/// A wait that an event's deadline does not notice.
const SHORT: Duration = Duration::from_millis(100);

/// The waiting line.
pub struct Backlog {
    /// From publish to deadline.
    patience: Duration,
    line: Mutex<Line>,
    /// Held by the thread that queues.
    draining: Mutex<()>,
    // Read without the lock: whether the lock is worth taking.
    waiting: AtomicUsize,
    is_draining: AtomicBool,
    watching: AtomicBool,
    is_blocked: AtomicBool,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    watched: HashMap<Ticket, Instant>,
}

struct Waiting {
    record: OwnedRecord,
    ticket: Ticket,
    since: Instant,
}

/// Tickets whose deadline passed.
#[derive(Default)]
pub struct Expired {
    /// Never queued.
    pub waiting: Vec<Ticket>,
    /// Queued after a wait, and not settled yet.
    pub queued: Vec<Ticket>,
}

impl Backlog {
    /// An empty line, of events with this time from publish to deadline.
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            line: Mutex::default(),
            draining: Mutex::default(),
            waiting: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            watching: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
        }
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Whether an event may go to librdkafka directly without overtaking another.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.is_draining.load(Ordering::Acquire)
    }

    /// Whether there is nothing here to look after.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && !self.watching.load(Ordering::Acquire)
    }

    /// Whether librdkafka's queue was full the last time that somebody tried.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Acquire)
    }

    /// Since when the first in the line waits.
    pub fn waits_since(&self) -> Option<Instant> {
        self.line.lock().waiting.front().map(|first| first.since)
    }

    /// Puts an event at the end of the line.
    pub fn push(&self, record: &Record<'_>, ticket: Ticket, now: Instant) {
        let waiting = Waiting { record: OwnedRecord::from(record), ticket, since: now };
        let mut line = self.line.lock();
        line.waiting.push_back(waiting);
        self.publish_sizes(&line);
    }

    /// Queues from the front until `produce` says that the queue is full; `refuse` hears of who is not taken for another
    /// reason.
    ///
    /// Nobody who publishes has to wait for it. Does nothing while another thread is at it.
    pub fn drain(
        &self,
        now: Instant,
        mut produce: impl FnMut(&Record<'_>, Ticket) -> Result<(), Code>,
        mut refuse: impl FnMut(&Record<'_>, Ticket, Code),
    ) {
        let Some(_alone) = self.draining.try_lock() else { return };
        let mut going = {
            let mut line = self.line.lock();
            self.is_draining.store(true, Ordering::Release);
            mem::take(&mut line.waiting)
        };
        let mut is_blocked = false;
        while let Some(first) = going.front() {
            let waited_long = now.saturating_duration_since(first.since) > SHORT;
            if waited_long {
                self.watch(first);
            }
            let queued = first.record.with_borrowed(|record| {
                let queued = produce(record, first.ticket);
                match queued {
                    Ok(()) | Err(Code::QueueFull) => {}
                    Err(code) => refuse(record, first.ticket, code),
                }
                queued
            });
            if waited_long && queued.is_err() {
                self.forget(first.ticket);
            }
            is_blocked = queued == Err(Code::QueueFull);
            if is_blocked {
                break;
            }
            going.pop_front();
        }
        self.is_blocked.store(is_blocked, Ordering::Release);
        let mut line = self.line.lock();
        mem::swap(&mut line.waiting, &mut going);
        line.waiting.append(&mut going);
        self.publish_sizes(&line);
        self.is_draining.store(false, Ordering::Release);
    }

    /// Takes events out of the line; returns those of them that were waiting.
    pub fn withdraw(&self, tickets: &HashSet<Ticket>) -> Vec<Ticket> {
        // Who is tried in vain by another thread is back in the line afterwards.
        let _alone = self.draining.lock();
        let mut line = self.line.lock();
        let mut withdrawn = Vec::new();
        line.waiting.retain(|waiting| {
            let stays = !tickets.contains(&waiting.ticket);
            if !stays {
                withdrawn.push(waiting.ticket);
            }
            stays
        });
        self.publish_sizes(&line);
        withdrawn
    }

    /// Before librdkafka has it: its report could come at once.
    fn watch(&self, waiting: &Waiting) {
        let mut line = self.line.lock();
        line.watched.insert(waiting.ticket, waiting.since + self.patience);
        self.publish_sizes(&line);
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
        while let Some(first) = line.waiting.pop_front_if(|first| first.since + self.patience <= now) {
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
        let _alone = self.draining.lock();
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
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn wait(backlog: &Backlog, slot: u32, since: Instant) -> Ticket {
        let ticket = Ticket::new(1, slot);
        backlog.push(&Record { topic: "t", key: b"k", payload: b"p", headers: &[("h", b"v")] }, ticket, since);
        ticket
    }

    fn drain(backlog: &Backlog, produce: impl FnMut(&Record<'_>, Ticket) -> Result<(), Code>) -> Vec<(Ticket, Code)> {
        let mut refused = Vec::new();
        backlog.drain(Instant::now(), produce, |_, ticket, code| refused.push((ticket, code)));
        refused
    }

    #[test]
    fn queues_in_order_until_the_queue_is_full() {
        let backlog = Backlog::new(PATIENCE);
        let now = Instant::now();
        let tickets: Vec<_> = (0..3).map(|slot| wait(&backlog, slot, now)).collect();
        let mut queued = Vec::new();
        let refused = drain(&backlog, |record, ticket| {
            assert_eq!((record.topic, record.key, record.payload), ("t", b"k".as_slice(), b"p".as_slice()));
            assert_eq!(record.headers, &[("h", b"v".as_slice())]);
            assert!(!backlog.is_empty(), "nobody overtakes those under way");
            if queued.len() == 2 {
                return Err(Code::QueueFull);
            }
            queued.push(ticket);
            Ok(())
        });
        assert!(refused.is_empty());
        assert_eq!(queued, tickets.get(..2).unwrap());
        assert_eq!(backlog.len(), 1);
        assert!(backlog.is_blocked());
        drain(&backlog, |_, _| Ok(()));
        assert!(backlog.is_empty() && !backlog.is_blocked());
    }

    #[test]
    fn who_comes_while_others_are_queued_stays_behind_them() {
        let backlog = Backlog::new(PATIENCE);
        let now = Instant::now();
        let (first, second) = (wait(&backlog, 0, now), wait(&backlog, 1, now));
        let mut third = None;
        drain(&backlog, |_, ticket| {
            if ticket == second {
                third = Some(wait(&backlog, 2, now));
                return Err(Code::QueueFull);
            }
            Ok(())
        });
        let mut queued = Vec::new();
        drain(&backlog, |_, ticket| {
            queued.push(ticket);
            Ok(())
        });
        assert_eq!(queued, [second, third.unwrap()]);
        assert!(!queued.contains(&first));
    }

    #[test]
    fn a_refused_event_does_not_hold_up_the_next() {
        let backlog = Backlog::new(PATIENCE);
        let now = Instant::now();
        let (bad, good) = (wait(&backlog, 0, now), wait(&backlog, 1, now));
        let mut queued = Vec::new();
        let refused = drain(&backlog, |_, ticket| {
            if ticket == bad {
                return Err(Code::UnknownTopic);
            }
            queued.push(ticket);
            Ok(())
        });
        assert_eq!((refused, queued), (vec![(bad, Code::UnknownTopic)], vec![good]));
        assert!(backlog.is_idle());
    }

    #[test]
    fn a_withdrawn_event_is_never_queued() {
        let backlog = Backlog::new(PATIENCE);
        let ticket = wait(&backlog, 0, Instant::now());
        assert_eq!(backlog.withdraw(&HashSet::from([ticket])), [ticket]);
        assert!(backlog.withdraw(&HashSet::from([ticket])).is_empty());
        drain(&backlog, |_, _| unreachable!());
    }

    #[test]
    fn the_deadline_counts_while_waiting_and_after() {
        let backlog = Backlog::new(PATIENCE);
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        let queued = wait(&backlog, 0, long_ago);
        drain(&backlog, |_, _| Ok(()));
        assert!(!backlog.is_idle(), "the one that was queued is watched");
        let settled = wait(&backlog, 3, long_ago);
        drain(&backlog, |_, _| Ok(()));
        backlog.forget(settled);
        let waiting = wait(&backlog, 1, long_ago);
        let patient = wait(&backlog, 2, Instant::now());
        let expired = backlog.expire(Instant::now());
        assert_eq!((expired.queued, expired.waiting), (vec![queued], vec![waiting]));
        assert_eq!(backlog.clear(), [patient]);
    }

    #[test]
    fn a_short_wait_needs_no_watch() {
        let backlog = Backlog::new(PATIENCE);
        wait(&backlog, 0, Instant::now());
        drain(&backlog, |_, _| Ok(()));
        assert!(backlog.is_idle());
    }
}
