//! The order of the line, whatever is drained, refused, withdrawn or past its deadline.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

const TIME_LIMIT: Duration = Duration::from_mins(1);

fn wait(backlog: &Backlog, slot: u32, since: Instant) -> Ticket {
    let ticket = Ticket::new(1, slot);
    let record = Record { topic: "t", key: b"k", payload: b"p", headers: &[("h", b"v")] };
    backlog.push(OwnedRecord::from(&record), ticket, true, since);
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
            return Handoff::Wait(Obstacle::Queue);
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
            return Handoff::Wait(Obstacle::Queue);
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
fn events_around_a_withdrawn_one_keep_their_order_and_each_can_be_withdrawn() {
    let backlog = Backlog::new(TIME_LIMIT);
    let now = Instant::now();
    let tickets: Vec<_> = (0..6).map(|slot| wait(&backlog, slot, now)).collect();
    let [first, second, third, fourth, fifth, sixth] = tickets[..] else { unreachable!() };
    assert_eq!(backlog.withdraw(&HashSet::from([second])), [second]);
    let mut queued = Vec::new();
    drain(&backlog, |_, ticket| {
        if ticket == fourth {
            return Handoff::Wait(Obstacle::Queue);
        }
        queued.push(ticket);
        Handoff::Taken
    });
    assert_eq!((&queued[..], backlog.len()), (&[first, third][..], 3));
    assert!(backlog.withdraw(&HashSet::from([first, second, third])).is_empty(), "gone, withdrawn, gone");
    assert_eq!(backlog.withdraw(&HashSet::from([fourth])), [fourth]);
    assert_eq!(backlog.withdraw(&HashSet::from([sixth])), [sixth]);
    let late = wait(&backlog, 9, now);
    queued.clear();
    drain(&backlog, |_, ticket| {
        queued.push(ticket);
        Handoff::Taken
    });
    assert_eq!(queued, [fifth, late]);
    assert!(backlog.is_idle());
}

#[test]
fn gaps_expire_and_are_cleared_with_the_line() {
    let backlog = Backlog::new(TIME_LIMIT);
    let long_ago = Instant::now().checked_sub(TIME_LIMIT).unwrap();
    let tickets: Vec<_> = (0..3).map(|slot| wait(&backlog, slot, long_ago)).collect();
    let [first, second, third] = tickets[..] else { unreachable!() };
    backlog.withdraw(&HashSet::from([second]));
    assert_eq!(backlog.expire(Instant::now()).waiting, [first, third]);
    assert!(backlog.is_idle());
    let tickets: Vec<_> = (0..3).map(|slot| wait(&backlog, slot, long_ago)).collect();
    backlog.withdraw(&HashSet::from([tickets[1]]));
    assert_eq!(backlog.clear(), [tickets[0], tickets[2]]);
    assert!(backlog.is_idle());
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
    let push = || backlog.push(OwnedRecord::from(&record), Ticket::new(1, 0), false, Instant::now());
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
