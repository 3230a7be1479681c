//! What the pool counts for metrics.

use super::reply::Reply;
use super::stage::Stage;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// Open connections, and replies by stage and code.
#[derive(Default)]
pub(super) struct Statistics {
    connections: AtomicUsize,
    replies: Mutex<BTreeMap<(Stage, u16), u64>>,
}

impl Statistics {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn replies(&self) -> Vec<(Stage, u16, u64)> {
        self.replies.lock().iter().map(|((stage, code), count)| (*stage, *code, *count)).collect()
    }
}

/// One open connection: it is counted as long as this lives.
pub(super) struct Counted(Arc<Statistics>);

impl Counted {
    pub(super) fn new(statistics: Arc<Statistics>) -> Self {
        statistics.connections.fetch_add(1, Ordering::Relaxed);
        Self(statistics)
    }

    pub(super) fn count(&self, stage: Stage, reply: Reply) {
        *self.0.replies.lock().entry((stage, reply.code())).or_default() += 1;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
