//! One assignment of a partition: its records, its lanes, and which of its offsets are finished.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::done_set::DoneSet;
use super::identity::PartitionId;
use super::lane::Lanes;
use super::life::Life;
use super::record::Record;
use super::watch::{Progress, Waits};

/// What is known of an assigned partition.
pub struct Partition {
    /// Its name.
    pub(super) id: PartitionId,
    /// Whether its records may start.
    pub(super) phase: Phase,
    /// Its offsets.
    pub(super) done: DoneSet,
    /// Its lanes.
    pub(super) lanes: Lanes,
    /// Its unfinished records.
    pub(super) lives: HashMap<i64, Life>,
    /// Ready records that do not start because the metadata of a commit would become too long.
    pub(super) parked: VecDeque<i64>,
    /// Whether there is something to commit.
    pub(super) is_dirty: bool,
    /// Memory of its records.
    pub(super) bytes: usize,
    /// How many records are in these states.
    pub(super) counts: Counts,
    /// Whether it is stuck.
    pub(super) progress: Progress,
}

/// Whether records of a partition may start.
pub(super) enum Phase {
    /// Not yet: the done set is being read back.
    Held {
        /// The worker continues without it at this time.
        until: Instant,
        /// What was fetched meanwhile.
        records: Vec<Record>,
    },
    /// They may.
    Open,
    /// Not any more: the partition is given back.
    Closing,
}

/// Records of a partition by state.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) working: usize,
    pub(super) waiting: usize,
    pub(super) burying: usize,
}

impl Partition {
    /// A partition that was just assigned.
    pub fn new(id: PartitionId, until: Instant, now: Instant) -> Self {
        Self {
            id,
            phase: Phase::Held { until, records: Vec::new() },
            done: DoneSet::default(),
            lanes: Lanes::default(),
            lives: HashMap::new(),
            parked: VecDeque::new(),
            is_dirty: false,
            bytes: 0,
            counts: Counts::default(),
            progress: Progress::new(now),
        }
    }

    /// Whether records may start.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Records at work, and dead letters being produced.
    pub fn busy(&self) -> usize {
        self.counts.working + self.counts.burying
    }

    /// Records in memory.
    pub fn records(&self) -> usize {
        match &self.phase {
            Phase::Held { records, .. } => records.len(),
            Phase::Open | Phase::Closing => self.lives.len(),
        }
    }

    /// All records are abandoned.
    pub(super) fn forget_records(&mut self) {
        self.lives.clear();
        self.lanes = Lanes::default();
        self.parked.clear();
        self.bytes = 0;
    }

    /// Whether this record fits into the metadata of a commit whenever it finishes.
    pub fn may_start(&self, offset: i64) -> bool {
        self.done.may_start(offset, self.busy())
    }

    /// Whether it would explain itself if nothing happened to its records for a while.
    pub(super) fn waits(&self, is_held_back: bool) -> Waits {
        let is_explained = !self.is_open() || self.counts.working > 0 || self.counts.waiting > 0 || is_held_back;
        if is_explained && self.counts.burying == 0 && !self.lives.is_empty() {
            Waits::ForACause
        } else {
            Waits::ForNothing
        }
    }
}
