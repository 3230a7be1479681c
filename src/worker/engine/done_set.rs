//! Which records of a partition are finished although an earlier record is not.
//!
//! The set is kept as its complement, the runs of offsets that are unfinished. Offsets that Kafka skips (compaction,
//! transaction markers) belong to no run, so they hold nothing up and take no space in the metadata of a commit.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::run_lengths;

/// Most bytes of the metadata of a commit.
pub const METADATA_MAX: usize = 4096;
/// Bytes of run lengths that fit, with an offset of 19 digits.
const RUNS_MAX: usize = (METADATA_MAX - "ke1::".len() - 19) * 3 / 4;
/// The most that a record adds when it finishes: a run of at most 2^21 offsets is split by a gap of one.
const SPLIT_MAX: usize = 4;
/// The most that the last gap takes.
const LAST_GAP_MAX: usize = 9;

/// The offsets of one assignment of a partition.
#[derive(Default)]
pub struct DoneSet {
    /// Runs of unfinished offsets: the first one, and the one after the last.
    runs: BTreeMap<i64, i64>,
    /// The offset after the last record that was fetched, or the first one to be fetched.
    next: Option<i64>,
    /// Where the runs end that were read back; records before it may be fetched yet.
    restored_end: i64,
    /// The offset after the last finished record.
    finished_end: i64,
    /// The offset after the last record that was started or finished.
    started_end: i64,
    /// Bytes of the run lengths if every started record were finished, but the last gap.
    size: usize,
}

impl DoneSet {
    /// The set that belongs to this commit. Metadata that does not fit the offset is ignored.
    pub fn restore(committed: i64, metadata: &[u8]) -> Self {
        let mut set = Self { next: Some(committed), ..Self::default() };
        let mut at = committed;
        for (unfinished, finished) in run_lengths::decode(committed, metadata).unwrap_or_default() {
            set.runs.insert(at, at + unfinished);
            at += unfinished + finished;
        }
        (set.restored_end, set.finished_end) = (at, at);
        set.extend_started(at);
        set
    }

    /// Whether a record with this offset was fetched before, or should have been: the log was cut or created again.
    pub fn is_rewound_by(&self, offset: i64) -> bool {
        self.next.is_some_and(|next| offset < next)
    }

    /// The offset after the last record that was fetched, or the first one to be fetched; None before anything is known.
    pub fn fetched_end(&self) -> Option<i64> {
        self.next
    }

    /// Takes a fetched record, and returns whether it is unfinished.
    pub fn fetch(&mut self, offset: i64) -> bool {
        if let Some(next) = self.next {
            self.skip(next, offset.min(self.restored_end));
        }
        self.next = Some(offset + 1);
        if offset < self.restored_end {
            return self.run_with(offset).is_some();
        }
        match self.runs.last_key_value() {
            Some((&start, &end)) if end == offset => self.replace(start, &[(start, offset + 1)]),
            _ => self.replace(offset, &[(offset, offset + 1)]),
        }
        true
    }

    /// Offsets that were to be fetched and do not exist any more.
    fn skip(&mut self, from: i64, to: i64) {
        let mut at = from;
        while at < to {
            if let Some((start, end)) = self.run_with(at) {
                self.replace(start, &[(start, at), (to, end)]);
                at = end;
            } else if let Some((&start, _)) = self.runs.range(at..to).next() {
                at = start;
            } else {
                return;
            }
        }
    }

    /// Takes it that work on a record begins.
    pub fn start(&mut self, offset: i64) {
        self.extend_started(offset + 1);
    }

    /// Takes it that a record is finished.
    pub fn finish(&mut self, offset: i64) {
        self.extend_started(offset + 1);
        self.finished_end = self.finished_end.max(offset + 1);
        if let Some((start, end)) = self.run_with(offset) {
            self.replace(start, &[(start, offset), (offset + 1, end)]);
        }
    }

    /// The offset of the first unfinished record, or of the next one; None before anything is known.
    pub fn position(&self) -> Option<i64> {
        let first = self.runs.first_key_value().map(|(&start, _)| start);
        first.or(self.next.map(|next| next.max(self.finished_end)))
    }

    /// Whether the metadata fits, whenever this record finishes and so many others that are at work.
    pub fn may_start(&self, offset: i64, at_work: usize) -> bool {
        let is_single = offset < self.started_end && self.run_with(offset) == Some((offset, offset + 1));
        // The first and a run of its own only make the metadata shorter.
        if is_single || self.position() == Some(offset) {
            return true;
        }
        let reserve = (at_work + 1) * SPLIT_MAX + LAST_GAP_MAX;
        let mut size = self.size + reserve;
        for (&start, &end) in self.runs.range(self.started_end.min(offset)..=offset) {
            if size > RUNS_MAX {
                break;
            }
            size += self.cost(start, end);
        }
        size <= RUNS_MAX
    }

    /// The metadata of a commit of [`Self::position`].
    pub fn encode(&self) -> String {
        let position = self.position().unwrap_or_default();
        let mut lengths = Vec::new();
        let mut runs = self.runs.range(..self.finished_end).peekable();
        while let Some((start, end)) = runs.next() {
            let next = runs.peek().map_or(self.finished_end, |(start, _)| **start);
            lengths.extend([end - start, next - end]);
        }
        run_lengths::encode(position, &lengths)
    }

    fn run_with(&self, offset: i64) -> Option<(i64, i64)> {
        let (&start, &end) = self.runs.range(..=offset).next_back()?;
        (offset < end).then_some((start, end))
    }

    /// Puts other runs in the place of one; those that are empty vanish.
    fn replace(&mut self, start: i64, runs: &[(i64, i64)]) {
        let after = self.runs.range(start + 1..).next().map(|(&start, &end)| (start, end));
        let old = self.runs.get(&start).map(|&end| (start, end));
        self.size -= self.counted(old) + self.counted(after);
        self.runs.remove(&start);
        self.runs.extend(runs.iter().copied().filter(|(start, end)| start < end));
        let present = runs.iter().filter(|(start, end)| start < end);
        self.size += present.map(|run| self.counted(Some(*run))).sum::<usize>() + self.counted(after);
    }

    fn extend_started(&mut self, end: i64) {
        if end > self.started_end {
            let added: usize = self.runs.range(self.started_end..end).map(|(start, end)| self.cost(*start, *end)).sum();
            self.size += added;
            self.started_end = end;
        }
    }

    fn counted(&self, run: Option<(i64, i64)>) -> usize {
        run.filter(|(start, _)| *start < self.started_end).map_or(0, |(start, end)| self.cost(start, end))
    }

    /// Bytes of a run and of the gap before it.
    fn cost(&self, start: i64, end: i64) -> usize {
        let gap = self.runs.range(..start).next_back().map_or(0, |(_, before)| run_lengths::length_of(start - before));
        run_lengths::length_of(end - start) + gap
    }
}
