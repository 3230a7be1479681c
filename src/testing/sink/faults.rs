//! The faults that a test has scripted and that have not struck yet.

use super::stage::Stage;

/// What happens instead of the usual reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A reply with this code.
    Reply(u16),
    /// The connection is closed.
    Drop,
}

/// Faults strike in the order in which they were scripted, each stage for itself.
#[derive(Default)]
pub(super) struct Faults(Vec<Scripted>);

struct Scripted {
    stage: Stage,
    fault: Fault,
    left: usize,
}

impl Faults {
    /// Lets a fault strike the next `count` times that a session reaches a stage.
    pub(super) fn script(&mut self, stage: Stage, fault: Fault, count: usize) {
        if count > 0 {
            self.0.push(Scripted { stage, fault, left: count });
        }
    }

    /// The fault that strikes now that a session has reached a stage.
    pub(super) fn strike(&mut self, stage: Stage) -> Option<Fault> {
        let at = self.0.iter().position(|scripted| scripted.stage == stage)?;
        let scripted = self.0.get_mut(at)?;
        let fault = scripted.fault;
        scripted.left -= 1;
        if scripted.left == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
