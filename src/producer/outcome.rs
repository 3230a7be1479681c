//! What an event loop hears from the native half.

use std::sync::Arc;
use std::time::Duration;

use super::lines::Lines;
use crate::kafka::failure::Failure;
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::Acknowledgement;

/// An item in the queue of an event loop.
pub(crate) enum Outcome {
    /// What became of the event in a slot.
    Event(u32, EventOutcome),
    /// The answer to the question in a slot; an error ends the question without an answer.
    Answer(u32, Result<Answer, Box<Failure>>),
    /// Lines for the application's log are waiting.
    Lines(Arc<Lines>),
}

/// What became of an event.
pub(crate) enum EventOutcome {
    Delivered(Acknowledgement),
    Failed(Box<Failure>),
    /// The deadline passed while librdkafka still has the event. The caller gets this failure, and the slot stays taken
    /// until the delivery report comes.
    Overdue(Box<Failure>),
}

/// The answer to a question about the producer.
pub(crate) enum Answer {
    /// It is connected, or connects in the background.
    Started,
    /// It is closed.
    Stopped(StopReport),
    Health(Box<Health>),
}

/// What became of the events that were outstanding when the producer was asked to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StopReport {
    /// Events acknowledged.
    pub(crate) delivered: u64,
    /// Events given up.
    pub(crate) failed: u64,
    pub(crate) elapsed: Duration,
}

/// The producer and its cluster at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) cluster: ClusterHealth,
    /// Events in the backlog.
    pub(crate) queued: u64,
    /// Events that librdkafka holds, not acknowledged yet.
    pub(crate) in_flight: u64,
}
