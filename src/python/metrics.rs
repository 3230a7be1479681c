//! The counters of the process, as they are now.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::exceptions;
use crate::monitoring::histogram::Snapshot;
use crate::producer::metrics::METRICS;

/// Bounds, counts (one more), sum.
type Histogram = (Vec<u64>, Vec<u64>, u64);

/// Counters by name; latencies in microseconds.
#[pyfunction]
pub fn metrics(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (latency, batches) = METRICS.histograms();
    let counters = PyDict::new(py);
    counters.set_item("latency", histogram(latency))?;
    counters.set_item("batches", histogram(batches))?;
    let failed = PyDict::new(py);
    for (class, count) in METRICS.failed() {
        failed.set_item(exceptions::name(class), count)?;
    }
    counters.set_item("failed", failed)?;
    counters.set_item("invalid", METRICS.invalid.get())?;
    counters.set_item("resent", METRICS.resent.get())?;
    counters.set_item("connects", METRICS.connects.get())?;
    counters.set_item("disconnects", METRICS.disconnects.get())?;
    counters.set_item("rebuilds", METRICS.rebuilds.get())?;
    Ok(counters)
}

/// An event was not valid.
#[pyfunction]
pub fn count_invalid() {
    METRICS.invalid.add(1);
}

fn histogram(snapshot: Snapshot) -> Histogram {
    (snapshot.bounds, snapshot.counts, snapshot.sum)
}
