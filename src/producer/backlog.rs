//! Events that wait in line for librdkafka: behind the events in flight (see [`super::gate`]), or for space in its queue.
//!
//! They wait here, in the native half, so that they can be queued in order the moment it is possible, without a detour
//! over the event loop. Waiting counts towards the deadline of the publish. librdkafka starts its own clock when it takes
//! a message, so a message that waited for long is watched here as well.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::owned_record::OwnedRecord;
use crate::handover::Ticket;
use crate::kafka::librdkafka::Record;

#[cfg(test)]
mod tests;

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
    /// The [`Obstacle`] that the last attempt to drain met, or `NOTHING`.
    obstacle: AtomicU8,
}

/// No obstacle.
const NOTHING: u8 = 0;

#[derive(Default)]
struct Line {
    /// Each at the place that it came to; None was withdrawn.
    waiting: VecDeque<Option<Waiting>>,
    /// The place after the last one, counted from the first event ever.
    next_place: u64,
    /// Places of the events that can be withdrawn.
    places: HashMap<Ticket, u64>,
    /// Events that were withdrawn and whose place is still in the line.
    gaps: usize,
    watched: HashMap<Ticket, Instant>,
    /// Whether the poller sleeps until an event waits.
    poller_sleeps: bool,
}

struct Waiting {
    record: OwnedRecord,
    ticket: Ticket,
    since: Instant,
}

impl Line {
    /// Place of the first event in the line.
    fn first_place(&self) -> u64 {
        self.next_place - self.waiting.len() as u64
    }

    /// Takes an event out, if it waits.
    fn withdraw(&mut self, ticket: Ticket) -> bool {
        let Some(place) = self.places.remove(&ticket) else { return false };
        let index = place.checked_sub(self.first_place()).and_then(|index| usize::try_from(index).ok());
        let slot = index.and_then(|index| self.waiting.get_mut(index));
        let was_waiting = slot.and_then(Option::take).is_some();
        self.gaps += usize::from(was_waiting);
        was_waiting
    }

    /// Drops the gaps at the front.
    fn close_gaps(&mut self) {
        while self.waiting.pop_front_if(|first| first.is_none()).is_some() {
            self.gaps -= 1;
        }
    }
}

/// Why a record has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Obstacle {
    /// The queue is full.
    Queue = 1,
    /// So much of its topic is queued that one batch could not hold more.
    Topic = 2,
    /// There is no client at the moment.
    Client = 3,
}

/// What became of a record that was offered to librdkafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handoff<R> {
    Taken,
    Wait(Obstacle),
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
            obstacle: AtomicU8::new(NOTHING),
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

    /// Whether the last attempt to drain ended at an event that has to wait.
    pub(super) fn is_blocked(&self) -> bool {
        self.obstacle.load(Ordering::Acquire) != NOTHING
    }

    /// Whether it met a full queue.
    pub(super) fn met_full_queue(&self) -> bool {
        self.obstacle.load(Ordering::Acquire) == Obstacle::Queue as u8
    }

    /// Whether it met a full queue, or no client.
    pub(super) fn met_no_space(&self) -> bool {
        self.met_full_queue() || self.obstacle.load(Ordering::Acquire) == Obstacle::Client as u8
    }

    /// When the first event in the line began to wait.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.line.lock().waiting.iter().flatten().next().map(|first| first.since)
    }

    /// Puts the record at the end of the line. Returns whether the poller sleeps, and has to be woken.
    pub(super) fn push(&self, record: OwnedRecord, ticket: Ticket, can_be_withdrawn: bool, now: Instant) -> bool {
        let waiting = Waiting { record, ticket, since: now };
        let mut line = self.line.lock();
        line.waiting.push_back(Some(waiting));
        if can_be_withdrawn {
            let place = line.next_place;
            line.places.insert(ticket, place);
        }
        line.next_place += 1;
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
        let (mut obstacle, mut gone, mut gaps) = (None, Vec::new(), 0);
        while let Some(place) = going.front() {
            let Some(first) = place else {
                going.pop_front();
                gaps += 1;
                continue;
            };
            let waited_long = now.saturating_duration_since(first.since) > SHORT;
            if waited_long {
                self.watch(first);
            }
            let was_taken = first.record.with_borrowed(|record| match offer(record, first.ticket) {
                Handoff::Taken => true,
                Handoff::Wait(met) => {
                    obstacle = Some(met);
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
            if obstacle.is_some() {
                break;
            }
            gone.push(first.ticket);
            going.pop_front();
        }
        self.obstacle.store(obstacle.map_or(NOTHING, |obstacle| obstacle as u8), Ordering::Release);
        let mut line = self.line.lock();
        mem::swap(&mut line.waiting, &mut going);
        line.waiting.append(&mut going);
        line.gaps -= gaps;
        if !line.places.is_empty() {
            for ticket in gone {
                line.places.remove(&ticket);
            }
        }
        self.publish_sizes(&line);
        self.is_draining.store(false, Ordering::Release);
        true
    }

    /// Removes events from the line. Returns the tickets of those that were still waiting, unless they were pushed as events
    /// that cannot be withdrawn. Its running time does not depend on the length of the line.
    pub(super) fn withdraw(&self, tickets: &HashSet<Ticket>) -> Vec<Ticket> {
        // `drain` holds the line while it works. Wait for it: what it could not hand over is then back in the line.
        let _alone = self.draining.lock();
        let mut line = self.line.lock();
        let withdrawn = tickets.iter().copied().filter(|ticket| line.withdraw(*ticket)).collect();
        line.close_gaps();
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
        let is_over = |first: &mut Option<Waiting>| match first {
            Some(first) => first.since + self.time_limit <= now,
            None => true,
        };
        while let Some(first) = line.waiting.pop_front_if(is_over) {
            match first {
                Some(first) => {
                    line.places.remove(&first.ticket);
                    expired.waiting.push(first.ticket);
                }
                None => line.gaps -= 1,
            }
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
        let waiting = line.waiting.drain(..).flatten().map(|waiting| waiting.ticket).collect();
        line.places.clear();
        line.gaps = 0;
        self.publish_sizes(&line);
        waiting
    }

    fn publish_sizes(&self, line: &Line) {
        self.waiting.store(line.waiting.len() - line.gaps, Ordering::Release);
        self.is_watching.store(!line.watched.is_empty(), Ordering::Release);
    }
}
