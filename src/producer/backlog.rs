//! Events that wait in line for librdkafka: behind the events in flight (see [`super::gate`]), or for space in its queue.
//!
//! They wait here, in the native half, so that they can be queued in order the moment it is possible, without a detour
//! over the event loop. Waiting counts towards the deadline of the publish. librdkafka starts its own clock when it takes
//! a message, so a message that waited for long is watched here as well.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::owned_record::OwnedRecord;
use crate::handover::Ticket;
use crate::kafka::librdkafka::Record;

/// Events that waited longer than this get a deadline of ours: librdkafka's timeout starts only when it takes them.
const SHORT: Duration = Duration::from_millis(100);

/// The waiting line.
pub(super) struct Backlog {
    /// From the publish to its deadline.
    time_limit: Duration,
    line: Mutex<Line>,
    /// Held by the thread that drains.
    draining: Mutex<()>,
    // Read without the lock, to see whether the lock is worth taking.
    waiting: AtomicUsize,
    is_draining: AtomicBool,
    is_watching: AtomicBool,
    is_blocked: AtomicBool,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    watched: HashMap<Ticket, Instant>,
    /// Whether the poller sleeps until an event waits.
    poller_sleeps: bool,
}

struct Waiting {
    record: OwnedRecord,
    ticket: Ticket,
    since: Instant,
}

/// What became of a record that was offered to librdkafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handoff<R> {
    Taken,
    /// It has to wait: the queue is full, or there is no client at the moment.
    Wait,
    Refused(R),
}

/// Tickets of events whose deadline passed.
#[derive(Default)]
pub(super) struct Expired {
    /// librdkafka never had these.
    pub(super) waiting: Vec<Ticket>,
    /// librdkafka took these after a wait, and has not reported them yet.
    pub(super) queued: Vec<Ticket>,
}

impl Backlog {
    /// An empty line; `time_limit` is the time from a publish to its deadline.
    pub(super) fn new(time_limit: Duration) -> Self {
        Self {
            time_limit,
            line: Mutex::default(),
            draining: Mutex::default(),
            waiting: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            is_watching: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
        }
    }

    /// How many events wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Whether an event may go to librdkafka directly without overtaking another.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && !self.is_draining.load(Ordering::Acquire)
    }

    /// Whether no event waits and no deadline is watched.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && !self.is_watching.load(Ordering::Acquire)
    }

    /// Whether the last attempt to drain met a full queue.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Acquire)
    }

    /// When the first event in the line began to wait.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.line.lock().waiting.front().map(|first| first.since)
    }

    /// Puts a copy of the record at the end of the line. Returns whether the poller sleeps, and has to be woken.
    pub(super) fn push(&self, record: &Record<'_>, ticket: Ticket, now: Instant) -> bool {
        let waiting = Waiting { record: OwnedRecord::from(record), ticket, since: now };
        let mut line = self.line.lock();
        line.waiting.push_back(waiting);
        self.publish_sizes(&line);
        mem::take(&mut line.poller_sleeps)
    }

    /// Whether the poller may sleep until [`Self::push`] says that it has to be woken: nothing waits at this moment.
    pub(super) fn let_poller_sleep(&self) -> bool {
        let mut line = self.line.lock();
        line.poller_sleeps = line.waiting.is_empty() && line.watched.is_empty();
        line.poller_sleeps
    }

    /// The poller is awake.
    pub(super) fn end_sleep(&self) {
        self.line.lock().poller_sleeps = false;
    }

    /// Offers events from the front of the line until one has to wait; `refuse` gets the refused ones.
    ///
    /// No publish waits for it. Does nothing, and returns false, while another thread drains.
    pub(super) fn drain<R>(
        &self,
        now: Instant,
        mut offer: impl FnMut(&Record<'_>, Ticket) -> Handoff<R>,
        mut refuse: impl FnMut(&Record<'_>, Ticket, R),
    ) -> bool {
        let Some(_alone) = self.draining.try_lock() else { return false };
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
            let was_taken = first.record.with_borrowed(|record| match offer(record, first.ticket) {
                Handoff::Taken => true,
                Handoff::Wait => {
                    is_blocked = true;
                    false
                }
                Handoff::Refused(refusal) => {
                    refuse(record, first.ticket, refusal);
                    false
                }
            });
            if waited_long && !was_taken {
                self.forget(first.ticket);
            }
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
        true
    }

    /// Takes events out of the line; returns those of them that were waiting.
    pub(super) fn withdraw(&self, tickets: &HashSet<Ticket>) -> Vec<Ticket> {
        // `drain` holds the line while it works. Wait for it: what it could not hand over is then back in the line.
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

    /// Call before handing the record over; its delivery report may arrive immediately.
    fn watch(&self, waiting: &Waiting) {
        let mut line = self.line.lock();
        line.watched.insert(waiting.ticket, waiting.since + self.time_limit);
        self.publish_sizes(&line);
    }

    /// Stops watching the deadline of an event that is settled.
    pub(super) fn forget(&self, ticket: Ticket) {
        if self.is_watching.load(Ordering::Acquire) {
            let mut line = self.line.lock();
            line.watched.remove(&ticket);
            self.publish_sizes(&line);
        }
    }

    /// Takes out every event whose deadline passed.
    pub(super) fn expire(&self, now: Instant) -> Expired {
        let mut expired = Expired::default();
        let mut line = self.line.lock();
        // All publishes have the same time limit, so the line is sorted by deadline.
        while let Some(first) = line.waiting.pop_front_if(|first| first.since + self.time_limit <= now) {
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

    /// Takes every waiting event out of the line.
    pub(super) fn clear(&self) -> Vec<Ticket> {
        let _alone = self.draining.lock();
        let mut line = self.line.lock();
        let waiting = line.waiting.drain(..).map(|waiting| waiting.ticket).collect();
        self.publish_sizes(&line);
        waiting
    }

    fn publish_sizes(&self, line: &Line) {
        self.waiting.store(line.waiting.len(), Ordering::Release);
        self.is_watching.store(!line.watched.is_empty(), Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TIME_LIMIT: Duration = Duration::from_mins(1);

    fn wait(backlog: &Backlog, slot: u32, since: Instant) -> Ticket {
        let ticket = Ticket::new(1, slot);
        backlog.push(&Record { topic: "t", key: b"k", payload: b"p", headers: &[("h", b"v")] }, ticket, since);
        ticket
    }

    fn drain(
        backlog: &Backlog,
        offer: impl FnMut(&Record<'_>, Ticket) -> Handoff<&'static str>,
    ) -> Vec<(Ticket, &'static str)> {
        let mut refused = Vec::new();
        backlog.drain(Instant::now(), offer, |_, ticket, refusal| refused.push((ticket, refusal)));
        refused
    }

    #[test]
    fn queues_in_order_until_the_queue_is_full() {
        let backlog = Backlog::new(TIME_LIMIT);
        let now = Instant::now();
        let tickets: Vec<_> = (0..3).map(|slot| wait(&backlog, slot, now)).collect();
        let mut queued = Vec::new();
        let refused = drain(&backlog, |record, ticket| {
            assert_eq!((record.topic, record.key, record.payload), ("t", b"k".as_slice(), b"p".as_slice()));
            assert_eq!(record.headers, &[("h", b"v".as_slice())]);
            assert!(!backlog.is_empty(), "no event overtakes the ones that are being drained");
            if queued.len() == 2 {
                return Handoff::Wait;
            }
            queued.push(ticket);
            Handoff::Taken
        });
        assert!(refused.is_empty());
        assert_eq!(queued, tickets.get(..2).unwrap());
        assert_eq!(backlog.len(), 1);
        assert!(backlog.is_blocked());
        drain(&backlog, |_, _| Handoff::Taken);
        assert!(backlog.is_empty() && !backlog.is_blocked());
    }

    #[test]
    fn an_event_that_arrives_during_a_drain_stays_behind() {
        let backlog = Backlog::new(TIME_LIMIT);
        let now = Instant::now();
        let (first, second) = (wait(&backlog, 0, now), wait(&backlog, 1, now));
        let mut third = None;
        drain(&backlog, |_, ticket| {
            if ticket == second {
                third = Some(wait(&backlog, 2, now));
                return Handoff::Wait;
            }
            Handoff::Taken
        });
        let mut queued = Vec::new();
        drain(&backlog, |_, ticket| {
            queued.push(ticket);
            Handoff::Taken
        });
        assert_eq!(queued, [second, third.unwrap()]);
        assert!(!queued.contains(&first));
    }

    #[test]
    fn a_refused_event_does_not_hold_up_the_next() {
        let backlog = Backlog::new(TIME_LIMIT);
        let now = Instant::now();
        let (bad, good) = (wait(&backlog, 0, now), wait(&backlog, 1, now));
        let mut queued = Vec::new();
        let refused = drain(&backlog, |_, ticket| {
            if ticket == bad {
                return Handoff::Refused("unknown topic");
            }
            queued.push(ticket);
            Handoff::Taken
        });
        assert_eq!((refused, queued), (vec![(bad, "unknown topic")], vec![good]));
        assert!(backlog.is_idle());
    }

    #[test]
    fn a_withdrawn_event_is_never_queued() {
        let backlog = Backlog::new(TIME_LIMIT);
        let ticket = wait(&backlog, 0, Instant::now());
        assert_eq!(backlog.withdraw(&HashSet::from([ticket])), [ticket]);
        assert!(backlog.withdraw(&HashSet::from([ticket])).is_empty());
        drain(&backlog, |_, _| unreachable!());
    }

    #[test]
    fn the_deadline_counts_while_waiting_and_after() {
        let backlog = Backlog::new(TIME_LIMIT);
        let long_ago = Instant::now().checked_sub(TIME_LIMIT).unwrap();
        let queued = wait(&backlog, 0, long_ago);
        drain(&backlog, |_, _| Handoff::Taken);
        assert!(!backlog.is_idle(), "the deadline of the queued event is watched");
        let settled = wait(&backlog, 3, long_ago);
        drain(&backlog, |_, _| Handoff::Taken);
        backlog.forget(settled);
        let waiting = wait(&backlog, 1, long_ago);
        let later = wait(&backlog, 2, Instant::now());
        let expired = backlog.expire(Instant::now());
        assert_eq!((expired.queued, expired.waiting), (vec![queued], vec![waiting]));
        assert_eq!(backlog.clear(), [later]);
    }

    #[test]
    fn a_sleeping_poller_is_woken_once_by_the_first_event_that_waits() {
        let backlog = Backlog::new(TIME_LIMIT);
        let record = Record { topic: "t", key: b"k", payload: b"p", headers: &[] };
        let push = || backlog.push(&record, Ticket::new(1, 0), Instant::now());
        assert!(backlog.let_poller_sleep());
        assert_eq!([push(), push()], [true, false]);
        assert!(!backlog.let_poller_sleep(), "events wait");
        backlog.clear();
        assert!(backlog.let_poller_sleep());
        backlog.end_sleep();
        assert!(!push());
    }

    #[test]
    fn a_short_wait_is_not_watched() {
        let backlog = Backlog::new(TIME_LIMIT);
        wait(&backlog, 0, Instant::now());
        drain(&backlog, |_, _| Handoff::Taken);
        assert!(backlog.is_idle());
    }
}
