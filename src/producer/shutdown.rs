//! The end of a producer: flush, give up what is left, release threads and sockets.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::producer::counters::Counts;
use crate::producer::handle::Shared;
use crate::producer::outcome::Outcome;
use crate::producer::poller::Retirement;
use crate::producer::status::closed;

/// Longest blocking flush, so that the deadline is met by a client that is still being built.
const FLUSH_SLICE: Duration = Duration::from_millis(200);
/// Pause between looks at the counters.
const PAUSE: Duration = Duration::from_millis(1);
/// How long librdkafka may take to hand back what it was told to give up.
const HAND_BACK: Duration = Duration::from_secs(1);

/// What became of the events that were under way when the producer was asked to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopReport {
    /// Events acknowledged.
    pub delivered: u64,
    /// Events given up.
    pub failed: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Takes the report when everything is closed.
pub type Reporter = Box<dyn FnOnce(StopReport) + Send>;

/// How to stop.
pub struct Stop {
    /// Time to flush.
    pub timeout: Duration,
    /// The counters when it was asked for: what was under way then is in the report.
    pub before: Counts,
    /// When it was asked for.
    pub asked: Instant,
    /// Takes the report.
    pub reporter: Reporter,
}

impl Stop {
    /// Reports, once everything is released.
    pub fn finish(self, after: Counts) {
        let delivered = after.delivered - self.before.delivered;
        let failed = after.accepted.saturating_sub(after.delivered).saturating_sub(self.before.failed);
        (self.reporter)(StopReport { delivered, failed, elapsed: self.asked.elapsed() });
    }
}

/// Closes, and returns what the counters say at the end.
pub(super) async fn close(shared: &Arc<Shared>, retirement: Option<Retirement>, timeout: Duration) -> Counts {
    shared.is_closing.store(true, Ordering::Release);
    flush(shared, Instant::now() + timeout).await;
    give_up(shared).await;
    if let Some(retirement) = retirement {
        retirement.begin();
    }
    let left = shared.native.write().take();
    let joined = Arc::clone(shared);
    // The last owner destroys librdkafka's client, which waits for its threads.
    let _ = spawn_blocking(move || {
        joined.join_threads();
        drop(left);
    })
    .await;
    shared.is_connected.store(false, Ordering::Release);
    shared.statistics.counts()
}

async fn flush(shared: &Shared, deadline: Instant) {
    while shared.statistics.counts().outstanding() > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let native = shared.native.read().clone();
        if let Some(native) = native {
            let slice = left.min(FLUSH_SLICE);
            let _ = spawn_blocking(move || native.flush(slice)).await;
        }
        sleep(PAUSE).await;
    }
}

async fn give_up(shared: &Shared) {
    for ticket in shared.backlog.clear() {
        shared.statistics.settle(0, 1);
        shared.push(ticket, Outcome::Failed(Box::new(closed())));
    }
    let Some(native) = shared.native.read().clone() else { return };
    native.purge();
    let deadline = Instant::now() + HAND_BACK;
    while shared.statistics.counts().outstanding() > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
}
