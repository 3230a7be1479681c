//! One event for whose outcome a thread waits, without an event loop.
//!
//! The locks are those of the standard library: a forked child may wait as well, and `parking_lot` lets threads queue
//! up in a table that a thread of the parent may have locked at the fork.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::completions::{lock, Completions};
use crate::kafka::failure::Failure;
use crate::kafka::librdkafka::Acknowledgement;

/// Where an event was stored, or why it was not.
pub(crate) type CallOutcome = Result<Acknowledgement, Box<Failure>>;

/// An event that was accepted, and its outcome as soon as that is known.
#[derive(Default)]
pub(crate) struct Call {
    state: Mutex<State>,
    settled: Condvar,
    /// Whether somebody has asked for the outcome.
    is_heard: AtomicBool,
}

#[derive(Default)]
struct State {
    outcome: Option<CallOutcome>,
    /// Who is told of the outcome, by these keys.
    told: Vec<(Arc<Completions>, u64)>,
    /// Nobody can ask for the outcome any more.
    is_dropped: bool,
}

impl Call {
    /// Waits for the outcome; returns whether it is there.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let waited = self.settled.wait_timeout_while(self.state(), timeout, |state| state.outcome.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.outcome.is_some()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.state().outcome.is_some()
    }

    /// The outcome, for somebody who passes it on.
    pub(crate) fn outcome(&self) -> Option<CallOutcome> {
        self.is_heard.store(true, Ordering::Relaxed);
        self.state().outcome.clone()
    }

    /// Adds the key to the completions when the outcome is there, which may be now.
    pub(crate) fn tell(&self, completions: &Arc<Completions>, key: u64) {
        self.is_heard.store(true, Ordering::Relaxed);
        let mut state = self.state();
        if state.outcome.is_some() {
            return completions.add(key);
        }
        state.told.push((Arc::clone(completions), key));
    }

    /// Settles it, unless it is settled. Returns the failure if nobody will ask for it.
    pub(super) fn settle(&self, outcome: CallOutcome) -> Option<Box<Failure>> {
        let mut state = self.state();
        if state.outcome.is_some() {
            return None;
        }
        let unheard = if state.is_dropped { outcome.clone().err() } else { None };
        state.outcome = Some(outcome);
        let told = std::mem::take(&mut state.told);
        drop(state);
        self.settled.notify_all();
        for (completions, key) in told {
            completions.add(key);
        }
        unheard
    }

    /// Nobody can ask for the outcome any more. Returns the failure if it is there, and nobody has asked for it.
    pub(super) fn abandon(&self) -> Option<Box<Failure>> {
        if self.is_heard.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state();
        state.is_dropped = true;
        state.outcome.clone().and_then(Result::err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::thread;

    use super::*;
    use crate::kafka::failure::Kind;

    const STORED: Acknowledgement = Acknowledgement { partition: 0, offset: 7, timestamp_ms: 0 };
    const LIMIT: Duration = Duration::from_secs(20);

    fn failed() -> CallOutcome {
        Err(Box::new(Failure::new(Kind::TIMEOUT, "late")))
    }

    #[test]
    fn every_thread_that_waits_is_woken_by_the_first_outcome() {
        let call = Call::default();
        assert!(!call.wait(Duration::from_millis(1)) && call.outcome().is_none());
        thread::scope(|scope| {
            let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| call.wait(LIMIT))).collect();
            call.settle(Ok(STORED));
            assert!(waits.into_iter().all(|wait| wait.join().unwrap()));
        });
        call.settle(failed());
        assert_eq!(call.outcome().unwrap().unwrap().offset, 7);
    }

    #[test]
    fn a_failure_that_nobody_can_ask_for_is_reported_once() {
        let late = Call::default();
        assert!(late.abandon().is_none());
        assert!(late.settle(failed()).is_some());
        let early = Call::default();
        assert!(early.settle(failed()).is_none());
        assert!(early.abandon().is_some());
        let heard = Call::default();
        heard.settle(failed());
        heard.outcome();
        assert!(heard.abandon().is_none());
        let stored = Call::default();
        stored.abandon();
        assert!(stored.settle(Ok(STORED)).is_none());
    }

    #[test]
    fn completions_hear_of_outcomes_before_and_after_they_were_asked_for() {
        let completions = Arc::new(Completions::default());
        let (early, late) = (Call::default(), Call::default());
        early.settle(Ok(STORED));
        early.tell(&completions, 1);
        late.tell(&completions, 2);
        late.tell(&completions, 3);
        assert_eq!(completions.take(LIMIT), Some(vec![1]));
        late.settle(failed());
        assert_eq!(completions.take(LIMIT), Some(vec![2, 3]));
        assert_eq!(completions.take(Duration::ZERO), Some(vec![]));
        completions.close();
        assert_eq!(completions.take(LIMIT), None);
    }
}
