//! The thread that something belongs to.

use std::sync::{Arc, Weak};

thread_local! {
    static HERE: Arc<()> = Arc::default();
}

/// A thread, as long as it lives.
pub(super) struct Home(Weak<()>);

impl Home {
    /// This thread.
    pub(super) fn here() -> Self {
        // A thread that is about to end is over already.
        Self(HERE.try_with(Arc::downgrade).unwrap_or_default())
    }

    /// Whether this thread is it, or it is over: no other thread is at home there.
    pub(super) fn is_here_or_over(&self) -> bool {
        let is_here = |home| HERE.try_with(|here| Arc::ptr_eq(here, &home)).unwrap_or(false);
        self.0.upgrade().is_none_or(is_here)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_is_over_is_nobodys_home() {
        let here = Home::here();
        assert!(here.is_here_or_over());
        thread::scope(|scope| {
            let there = scope.spawn(|| assert!(!here.is_here_or_over()));
            there.join().unwrap();
        });
        assert!(thread::spawn(Home::here).join().unwrap().is_here_or_over());
    }
}
