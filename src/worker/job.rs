//! Calls of handlers: what a handler gets, and what comes back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::engine::record::{Event, Record};
use crate::mail::Draft;

/// A call of a handler. No `Debug`: it is personal data.
pub(crate) struct Job {
    /// Names the call.
    pub(crate) number: u64,
    /// The handler's place in the settings.
    pub(crate) handler: usize,
    pub(crate) event: Event,
    pub(crate) record: Arc<Record>,
    /// 1 for the first.
    pub(crate) attempt: u32,
}

/// What a handler did. No `Debug`: a mail is personal data.
pub(crate) enum Answer {
    /// It delivered the mail itself.
    Handled,
    /// It wants this mail sent.
    Mail(Box<Draft>),
    /// It wants to be called again.
    Retry(Option<Duration>),
    /// The record will never be delivered.
    Permanent,
    /// No mail is wanted.
    Drop,
    /// It failed in another way.
    Failed,
}

/// The calls that are under way.
#[derive(Default)]
pub(super) struct Jobs {
    count: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Jobs {
    /// Registers a call, and returns its number.
    pub(super) fn begin(jobs: &RefCell<Self>) -> (u64, oneshot::Receiver<Answer>) {
        let mut jobs = jobs.borrow_mut();
        jobs.count += 1;
        let (sender, receiver) = oneshot::channel();
        let number = jobs.count;
        jobs.waiting.insert(number, sender);
        (number, receiver)
    }

    /// Hands an answer to whoever waits for it.
    pub(super) fn answer(jobs: &RefCell<Self>, number: u64, answer: Answer) {
        if let Some(sender) = Self::forget(jobs, number) {
            let _ = sender.send(answer);
        }
    }

    /// Nobody waits for this call any more. None: it was answered.
    pub(super) fn forget(jobs: &RefCell<Self>, number: u64) -> Option<oneshot::Sender<Answer>> {
        jobs.borrow_mut().waiting.remove(&number)
    }
}
