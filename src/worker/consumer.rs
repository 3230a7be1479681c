//! The thread of the consumer, as the shell holds it.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::commands::{Command, Report};
use super::polling::{Plan, Polling};
use crate::kafka::librdkafka::Consumer;

/// The thread.
pub(super) struct ConsumerThread {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

impl ConsumerThread {
    /// Starts the thread with its first consumer. `report` is called on the thread.
    pub(super) fn spawn(
        plan: Plan,
        first: Consumer,
        report: impl Fn(Report) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (commands, received) = mpsc::channel();
        let polling = Polling::new(plan, Arc::new(report), received);
        let thread = thread::Builder::new().name("kafka-email-consume".into()).spawn(move || polling.run(first))?;
        Ok(Self { commands, thread })
    }

    /// Hands a command over; the thread carries it out within 20 ms.
    pub(super) fn send(&self, command: Command) {
        // A thread that ended has nothing left to do it with.
        let _ = self.commands.send(command);
    }

    /// Lets the thread leave the group and end. Blocks, for a few seconds at most.
    pub(super) fn close(self) {
        self.send(Command::Close);
        let _ = self.thread.join();
    }
}
