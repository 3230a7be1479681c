//! Whether a cluster answers.

use std::time::Duration;

/// The cluster at one moment, as far as one of its brokers showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClusterHealth {
    /// A broker answered in time, and nothing is known to be wrong.
    Well { brokers: usize, latency: Duration },
    /// The reason why events are not stored.
    Ill(String),
}
