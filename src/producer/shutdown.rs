//! The end of a producer: flush, give up what is left, release threads and sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::core::Core;
use super::counters::Counts;
use super::poller::Poller;

/// Longest blocking flush: so often the deadline and the client are looked at.
const FLUSH_SLICE: Duration = Duration::from_millis(200);
/// Pause between looks at the counters.
const PAUSE: Duration = Duration::from_millis(1);
/// How long librdkafka may take to report the messages that were purged.
const PURGE_TIMEOUT: Duration = Duration::from_secs(1);

/// Closes the producer, and returns what the counters say at the end.
pub(super) async fn close(core: &Arc<Core>, pollers: Vec<Poller>, timeout: Duration) -> Counts {
    core.status().begin_closing();
    flush(core, Instant::now() + timeout).await;
    give_up(core).await;
    for poller in &pollers {
        poller.retire();
    }
    let client = core.pipeline().remove_client();
    // The last owner destroys librdkafka's client, which waits for its threads.
    let _ = spawn_blocking(move || {
        pollers.into_iter().for_each(Poller::join);
        drop(client);
    })
    .await;
    core.status().set_connected(false);
    core.pipeline().counts()
}

async fn flush(core: &Core, deadline: Instant) {
    while core.pipeline().counts().outstanding() > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        // No client takes the place of one that dies now.
        if left.is_zero() || core.status().take_death().is_some() {
            return;
        }
        if let Some(client) = core.pipeline().client() {
            let slice = left.min(FLUSH_SLICE);
            let _ = spawn_blocking(move || client.flush(slice)).await;
        }
        sleep(PAUSE).await;
    }
}

async fn give_up(core: &Core) {
    core.close_backlog();
    let Some(client) = core.pipeline().client() else { return };
    client.purge();
    let deadline = Instant::now() + PURGE_TIMEOUT;
    while core.pipeline().counts().outstanding() > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
}
