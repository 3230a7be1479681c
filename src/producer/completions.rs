//! The keys of calls that are settled, for the one thread that calls the callbacks.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Keys, in the order in which their calls were settled.
#[derive(Default)]
pub(crate) struct Completions {
    state: Mutex<State>,
    added: Condvar,
}

#[derive(Default)]
struct State {
    keys: Vec<u64>,
    is_closed: bool,
}

impl Completions {
    pub(crate) fn add(&self, key: u64) {
        lock(&self.state).keys.push(key);
        self.added.notify_one();
    }

    /// Waits for keys and takes them; none when the time is over, and None when it is closed and all were taken.
    pub(crate) fn take(&self, timeout: Duration) -> Option<Vec<u64>> {
        let state = lock(&self.state);
        let is_open = |state: &mut State| state.keys.is_empty() && !state.is_closed;
        let (mut state, _) =
            self.added.wait_timeout_while(state, timeout, is_open).unwrap_or_else(PoisonError::into_inner);
        (!state.keys.is_empty() || !state.is_closed).then(|| mem::take(&mut state.keys))
    }

    /// Lets the thread that takes keys end.
    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.added.notify_all();
    }
}

/// No code under the locks of calls can leave the data half changed, so a panic of another thread is no reason to stop.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
