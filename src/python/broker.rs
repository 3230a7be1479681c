//! The handle of an embedded broker, for tests and demos.

use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::process_bound::ProcessBound;
use crate::testing::embedded_broker::{self, BrokerError};

/// Partition, offset, timestamp in ms, key, value, headers.
type Row<'py> =
    (i32, i64, i64, Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>, Vec<(String, Bound<'py, PyBytes>)>);

/// A Kafka protocol endpoint inside the process.
#[pyclass(frozen, module = "kafka_email._core")]
pub struct EmbeddedBroker(ProcessBound<embedded_broker::EmbeddedBroker>);

impl EmbeddedBroker {
    fn running(&self) -> PyResult<&embedded_broker::EmbeddedBroker> {
        let gone =
            || PyRuntimeError::new_err("the embedded broker belongs to the process that this one was forked from");
        self.0.get().ok_or_else(gone)
    }
}

#[pymethods]
impl EmbeddedBroker {
    #[new]
    fn new(py: Python<'_>, brokers: i32) -> PyResult<Self> {
        Ok(Self(ProcessBound::new(py.detach(|| embedded_broker::EmbeddedBroker::start(brokers))?)))
    }

    #[getter]
    fn bootstrap_servers(&self) -> PyResult<&str> {
        Ok(self.running()?.bootstrap_servers())
    }

    fn create_topic(&self, py: Python<'_>, topic: String, partitions: i32) -> PyResult<()> {
        let broker = self.running()?;
        Ok(py.detach(|| broker.create_topic(topic, partitions))?)
    }

    fn set_leader(&self, py: Python<'_>, topic: String, partition: i32, broker: i32) -> PyResult<()> {
        let cluster = self.running()?;
        Ok(py.detach(|| cluster.set_leader(topic, partition, broker))?)
    }

    #[pyo3(signature = (broker, down))]
    fn set_down(&self, py: Python<'_>, broker: Option<i32>, down: bool) -> PyResult<()> {
        let cluster = self.running()?;
        Ok(py.detach(|| cluster.set_down(broker, down))?)
    }

    fn set_round_trip(&self, py: Python<'_>, delay: Duration) -> PyResult<()> {
        let broker = self.running()?;
        Ok(py.detach(|| broker.set_round_trip(delay))?)
    }

    fn fail_next(&self, py: Python<'_>, code: i32, count: usize) -> PyResult<()> {
        let broker = self.running()?;
        Ok(py.detach(|| broker.fail_next(code, count))?)
    }

    fn records<'py>(&self, py: Python<'py>, topic: &str) -> PyResult<Vec<Row<'py>>> {
        let broker = self.running()?;
        let records = py.detach(|| broker.records(topic))?;
        let bytes = |value: &[u8]| PyBytes::new(py, value);
        let row = |record: embedded_broker::StoredRecord| {
            (
                record.partition,
                record.offset,
                record.timestamp_ms,
                record.key.as_deref().map(bytes),
                record.value.as_deref().map(bytes),
                record.headers.iter().map(|(name, value)| (name.clone(), bytes(value))).collect(),
            )
        };
        Ok(records.into_iter().map(row).collect())
    }

    /// Does nothing to a broker that a parent process runs.
    fn stop(&self, py: Python<'_>) {
        if let Some(broker) = self.0.get() {
            py.detach(|| broker.stop());
        }
    }
}

impl From<BrokerError> for PyErr {
    fn from(error: BrokerError) -> Self {
        PyRuntimeError::new_err(error.to_string())
    }
}
