//! A look at the producer and its cluster at one moment.

use std::time::Duration;

/// Health of the producer.
#[derive(Clone, Debug)]
pub struct Health {
    /// A broker answered within the time given.
    pub healthy: bool,
    /// Brokers in the cluster; 0 when none answered.
    pub brokers: usize,
    /// Time a broker took to answer.
    pub latency: Option<Duration>,
    /// Events that wait for space in the local queue.
    pub queued: usize,
    /// Events in the local queue or on their way, not acknowledged yet.
    pub in_flight: u64,
    /// What is wrong, if something is.
    pub last_error: Option<String>,
}
