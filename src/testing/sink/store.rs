//! What all connections of a sink share: the accepted mails, the scripted faults and the delay.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::faults::{Fault, Faults};
use super::mail::ReceivedMail;
use super::stage::Stage;

/// Survives a restart of the sink.
#[derive(Default)]
pub(super) struct Store {
    mails: Mutex<Mails>,
    arrival: Condvar,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Mails {
    kept: Vec<Arc<ReceivedMail>>,
    count: usize,
}

#[derive(Default)]
struct Script {
    faults: Faults,
    delay: Duration,
}

impl Store {
    /// Counts an accepted mail, and keeps it if there is one to keep.
    pub(super) fn accept(&self, mail: Option<ReceivedMail>) {
        let mut mails = self.mails.lock();
        mails.count += 1;
        mails.kept.extend(mail.map(Arc::new));
        self.arrival.notify_all();
    }

    /// The mails that were kept, in the order in which they were accepted.
    pub(super) fn mails(&self) -> Vec<Arc<ReceivedMail>> {
        self.mails.lock().kept.clone()
    }

    /// How many mails were accepted.
    pub(super) fn count(&self) -> usize {
        self.mails.lock().count
    }

    /// Waits until `count` mails have been accepted, and returns how many there are then or after `timeout`.
    pub(super) fn wait(&self, count: usize, timeout: Duration) -> usize {
        let mut mails = self.mails.lock();
        self.arrival.wait_while_for(&mut mails, |mails| mails.count < count, timeout);
        mails.count
    }

    /// Scripts a fault.
    pub(super) fn script(&self, stage: Stage, fault: Fault, count: usize) {
        self.script.lock().faults.script(stage, fault, count);
    }

    /// The fault that strikes at this stage, if there is one.
    pub(super) fn strike(&self, stage: Stage) -> Option<Fault> {
        self.script.lock().faults.strike(stage)
    }

    /// Forgets the mails and the faults.
    pub(super) fn clear(&self) {
        *self.mails.lock() = Mails::default();
        self.script.lock().faults.clear();
    }

    /// By how much replies are delayed.
    pub(super) fn delay(&self) -> Duration {
        self.script.lock().delay
    }

    /// Delays all further replies.
    pub(super) fn set_delay(&self, delay: Duration) {
        self.script.lock().delay = delay;
    }
}
