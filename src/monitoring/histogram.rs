//! Histograms that threads add to without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of values in `N` log-linear buckets: from 2^`FIRST` on, each power of two is cut into 2^`STEPS` equal parts.
///
/// The first bucket holds all that is smaller, the last one all that is larger.
pub(crate) struct Histogram<const FIRST: u32, const STEPS: u32, const N: usize> {
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistogramSnapshot {
    /// Largest value of each bucket but the last, which has no limit.
    pub(crate) bounds: Vec<u64>,
    /// Values in each bucket.
    pub(crate) counts: Vec<u64>,
    /// Sum of all values.
    pub(crate) sum: u64,
}

impl<const FIRST: u32, const STEPS: u32, const N: usize> Histogram<FIRST, STEPS, N> {
    /// Without any values.
    pub(crate) const fn empty() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; N], sum: AtomicU64::new(0) }
    }

    /// Adds a value.
    pub(crate) fn record(&self, value: u64) {
        if let Some(count) = self.counts.get(Self::bucket(value).min(N - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Forgets all values.
    pub(crate) fn reset(&self) {
        for number in self.counts.iter().chain([&self.sum]) {
            number.store(0, Ordering::Relaxed);
        }
    }

    /// The histogram now.
    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            bounds: (0..N - 1).map(Self::bound).collect(),
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }

    fn bucket(value: u64) -> usize {
        // A bound belongs to the bucket below it, as Prometheus has it.
        let below = value.saturating_sub(1);
        if below >> FIRST == 0 {
            return 0;
        }
        let octave = below.ilog2();
        let part = (below >> octave.saturating_sub(STEPS)) & ((1 << STEPS) - 1);
        (((octave - FIRST) as usize) << STEPS) + usize::try_from(part).unwrap_or(0) + 1
    }

    fn bound(bucket: usize) -> u64 {
        let Some(above) = bucket.checked_sub(1) else { return 1 << FIRST };
        let (octave, part) = (FIRST as usize + (above >> STEPS), above & ((1 << STEPS) - 1));
        (1 << octave) + ((part as u64 + 1) << (octave - STEPS as usize))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bucket_of_the_first_bound_that_is_not_smaller() {
        for value in (0..5000).chain([u64::MAX]) {
            let histogram = Histogram::<3, 1, 12>::empty();
            histogram.record(value);
            let snapshot = histogram.snapshot();
            let bucket = snapshot.counts.iter().position(|count| *count == 1).unwrap();
            let expected = snapshot.bounds.iter().position(|bound| value <= *bound).unwrap_or(11);
            assert_eq!((bucket, snapshot.sum), (expected, value), "{value}: {:?}", snapshot.bounds);
        }
    }

    #[test]
    fn bounds_are_powers_of_two_and_what_lies_between() {
        assert_eq!(Histogram::<3, 1, 7>::empty().snapshot().bounds, [8, 12, 16, 24, 32, 48]);
        assert_eq!(Histogram::<0, 0, 5>::empty().snapshot().bounds, [1, 2, 4, 8]);
    }
}
