//! Answers of a producer, by name.

use std::collections::HashMap;

use pyo3::prelude::*;

use crate::kafka::health::ClusterHealth;
use crate::producer;

/// Health of the producer and its cluster.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct Health {
    healthy: bool,
    brokers: usize,
    latency_ms: Option<f64>,
    queued: u64,
    in_flight: u64,
    last_error: Option<String>,
}

/// What became of the events that were outstanding at a stop.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct StopCounts {
    delivered: u64,
    failed: u64,
    elapsed_s: f64,
}

/// What there is to see of a producer at one moment; round trips in seconds by the number of the broker.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct Gauges {
    waiting: u64,
    in_flight: u64,
    bytes: u64,
    round_trips: HashMap<i32, f64>,
}

#[pymethods]
impl Health {
    #[new]
    fn new(
        healthy: bool,
        brokers: usize,
        latency_ms: Option<f64>,
        queued: u64,
        in_flight: u64,
        last_error: Option<String>,
    ) -> Self {
        Self { healthy, brokers, latency_ms, queued, in_flight, last_error }
    }
}

#[pymethods]
impl StopCounts {
    #[new]
    fn new(delivered: u64, failed: u64, elapsed_s: f64) -> Self {
        Self { delivered, failed, elapsed_s }
    }
}

#[pymethods]
impl Gauges {
    #[new]
    fn new(waiting: u64, in_flight: u64, bytes: u64, round_trips: HashMap<i32, f64>) -> Self {
        Self { waiting, in_flight, bytes, round_trips }
    }
}

impl From<producer::Health> for Health {
    fn from(producer::Health { cluster, queued, in_flight }: producer::Health) -> Self {
        let (healthy, brokers, latency_ms, last_error) = match cluster {
            ClusterHealth::Well { brokers, latency } => (true, brokers, Some(latency.as_secs_f64() * 1e3), None),
            ClusterHealth::Ill(cause) => (false, 0, None, Some(cause)),
        };
        Self { healthy, brokers, latency_ms, queued, in_flight, last_error }
    }
}

impl From<producer::StopReport> for StopCounts {
    fn from(producer::StopReport { delivered, failed, elapsed }: producer::StopReport) -> Self {
        Self { delivered, failed, elapsed_s: elapsed.as_secs_f64() }
    }
}

impl From<producer::Gauges> for Gauges {
    fn from(producer::Gauges { waiting, in_flight, bytes, round_trips }: producer::Gauges) -> Self {
        let round_trips = round_trips.into_iter().map(|(broker, mean)| (broker, mean.as_secs_f64())).collect();
        Self { waiting, in_flight, bytes, round_trips }
    }
}
