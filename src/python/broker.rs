//! The handle of an embedded broker, for tests and demos.

use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::process_bound::ProcessBound;
use crate::testing::{self, BrokerError, EmbeddedBroker};

/// A Kafka protocol endpoint inside the process.
#[pyclass(frozen, name = "EmbeddedBroker", module = "kafka_email._core")]
pub(super) struct EmbeddedBrokerRef(ProcessBound<EmbeddedBroker>);

/// A record as it is stored.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct StoredRecord {
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Py<PyBytes>>,
    value: Option<Py<PyBytes>>,
    headers: Vec<(String, Py<PyBytes>)>,
}

impl EmbeddedBrokerRef {
    fn running(&self) -> PyResult<&EmbeddedBroker> {
        let inherited =
            || PyRuntimeError::new_err("the embedded broker belongs to the process that this one was forked from");
        self.0.get().ok_or_else(inherited)
    }
}

impl StoredRecord {
    fn new(py: Python<'_>, record: testing::StoredRecord) -> Self {
        let bytes = |value: &[u8]| PyBytes::new(py, value).unbind();
        Self {
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref().map(bytes),
            value: record.value.as_deref().map(bytes),
            headers: record.headers.into_iter().map(|(name, value)| (name, bytes(&value))).collect(),
        }
    }
}

#[pymethods]
impl EmbeddedBrokerRef {
    #[new]
    fn new(py: Python<'_>, brokers: i32) -> PyResult<Self> {
        Ok(Self(ProcessBound::new(py.detach(|| EmbeddedBroker::start(brokers))?)))
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

    fn fail_next(&self, py: Python<'_>, request: &str, code: i32, count: usize) -> PyResult<()> {
        let broker = self.running()?;
        Ok(py.detach(|| broker.fail_next(request, code, count))?)
    }

    fn records(&self, py: Python<'_>, topic: &str) -> PyResult<Vec<StoredRecord>> {
        let broker = self.running()?;
        let records = py.detach(|| broker.records(topic))?;
        Ok(records.into_iter().map(|record| StoredRecord::new(py, record)).collect())
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
        match error {
            BrokerError::UnknownRequest(_) => PyValueError::new_err(error.to_string()),
            _ => PyRuntimeError::new_err(error.to_string()),
        }
    }
}
