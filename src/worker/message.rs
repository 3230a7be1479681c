//! What the worker's thread is told.

use super::commands::Report;
use super::consumer::ConsumerThread;
use super::job::Answer;
use super::report::Line;

/// A message to the worker's thread.
pub(super) enum Message {
    Consumer(Report),
    ConsumerStarted(ConsumerThread),
    Answer(u64, Answer),
    SmtpToken(String),
    Line(Line),
    Misconfigured(String),
    Drain,
    Abort,
}
