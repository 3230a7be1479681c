//! What the engine wants of the consumer, and what the consumer's thread reports.

use super::engine::action::{CommitId, Position};
use super::engine::identity::{Generation, PartitionId};
use super::engine::input::Input;
use crate::kafka::librdkafka::ClientError;

/// What the engine wants of the consumer.
pub(super) enum Command {
    ReadCommitted(Vec<(PartitionId, Generation)>),
    Commit(CommitId, Vec<Position>),
    Pause(Vec<PartitionId>),
    Resume(Vec<PartitionId>),
    Unassign(Vec<(PartitionId, Generation)>),
    /// Use the token that the application supplied last.
    RenewToken,
    /// Leave the group and end the thread.
    Close,
}

/// What the thread reports.
pub(super) enum Report {
    /// Something for the engine.
    Input(Input),
    /// Something is wrong with a broker or with the consumer.
    Failed(ClientError),
    /// A line of librdkafka's own log.
    Logged(String),
    /// Whether a coordinator of the group is known, and so the group's work goes on.
    Coordinated(bool),
    /// So many fatal errors in a short time that another client is no use.
    GaveUp(ClientError),
}
