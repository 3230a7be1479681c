//! What the worker's thread is told.

use super::commands::Report;
use super::consumer::ConsumerThread;
use super::job::Answer;

/// A message to the worker's thread.
pub(super) enum Message {
    Consumer(Report),
    ConsumerStarted(ConsumerThread),
    Answer(u64, Answer),
    /// There is a fresh token for Kafka.
    KafkaTokenRenewed,
    SmtpToken(String),
    /// Kafka could not be asked for the topics, and why not.
    Unreachable(String),
    Misconfigured(String),
    Drain,
    Abort,
}
