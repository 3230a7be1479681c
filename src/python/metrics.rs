//! The counters of the process, as they are now.

use std::collections::HashMap;

use pyo3::prelude::*;

use super::exceptions;
use crate::monitoring::HistogramSnapshot;
use crate::producer::METRICS;

/// Values counted in buckets; `bounds` are the largest values of all buckets but the last, which has no limit.
#[pyclass(frozen, get_all, skip_from_py_object, module = "kafka_email._core")]
#[derive(Clone)]
pub(super) struct Histogram {
    bounds: Vec<u64>,
    counts: Vec<u64>,
    sum: u64,
}

/// Counters by name. Latencies are in microseconds, and failures are counted by the name of their exception.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct Metrics {
    latency: Histogram,
    batches: Histogram,
    failed: HashMap<&'static str, u64>,
    invalid: u64,
    resent: u64,
    connects: u64,
    disconnects: u64,
    rebuilds: u64,
}

#[pymethods]
impl Histogram {
    #[new]
    fn new(bounds: Vec<u64>, counts: Vec<u64>, sum: u64) -> Self {
        Self { bounds, counts, sum }
    }
}

impl From<HistogramSnapshot> for Histogram {
    fn from(HistogramSnapshot { bounds, counts, sum }: HistogramSnapshot) -> Self {
        Self { bounds, counts, sum }
    }
}

/// Reads all counters.
#[pyfunction]
pub(super) fn metrics() -> Metrics {
    let (latency, batches) = METRICS.histograms();
    Metrics {
        latency: latency.into(),
        batches: batches.into(),
        failed: METRICS.failed().map(|(class, count)| (exceptions::name(class), count)).collect(),
        invalid: METRICS.invalid.get(),
        resent: METRICS.resent.get(),
        connects: METRICS.connects.get(),
        disconnects: METRICS.disconnects.get(),
        rebuilds: METRICS.rebuilds.get(),
    }
}

/// Counts an event that was not valid.
#[pyfunction]
pub(super) fn count_invalid() {
    METRICS.invalid.add(1);
}
