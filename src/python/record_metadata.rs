//! What a publish returns.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};
use uuid::Uuid;

use crate::email::EventId;
use crate::kafka::librdkafka::Acknowledgement;
use crate::testing;

/// Where and when an event was stored.
///
/// `topic`: topic name. `partition`: its partition, from 0. `offset`: position in the partition, -1 with `acks=0`.
/// `timestamp_ms`: milliseconds since the Unix epoch, of creation, or of storage where the topic says so.
/// `event_id`: the `UUIDv7` (RFC 9562) that the record carries in its `ce_id` header, for consumers to drop duplicates by.
#[pyclass(frozen, eq, hash, module = "kafka_email")]
pub(super) struct RecordMetadata {
    topic: Py<PyString>,
    #[pyo3(get)]
    partition: i32,
    #[pyo3(get)]
    offset: i64,
    #[pyo3(get)]
    timestamp_ms: i64,
    #[pyo3(get)]
    event_id: String,
}

impl RecordMetadata {
    /// Metadata of an acknowledged event.
    pub(super) fn acknowledged(topic: Py<PyString>, stored: Acknowledgement, event_id: EventId) -> Self {
        let Acknowledgement { partition, offset, timestamp_ms } = stored;
        let timestamp_ms = if testing::is_made_up(timestamp_ms) { created_ms(event_id) } else { timestamp_ms };
        Self { topic, partition, offset, timestamp_ms, event_id: text(event_id) }
    }

    fn key(&self) -> (String, i32, i64, i64, String) {
        (self.topic.to_string(), self.partition, self.offset, self.timestamp_ms, self.event_id.clone())
    }
}

impl PartialEq for RecordMetadata {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl std::hash::Hash for RecordMetadata {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// As `to_string`, without the formatting machinery: this is on the way of every event.
fn text(event_id: EventId) -> String {
    event_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// The time in a `UUIDv7`: its first 48 bits (RFC 9562, section 5.7).
fn created_ms(event_id: EventId) -> i64 {
    i64::try_from(event_id.as_u128() >> 80).unwrap_or(-1)
}

#[pymethods]
impl RecordMetadata {
    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str, &'static str, &'static str) {
        ("topic", "partition", "offset", "timestamp_ms", "event_id")
    }

    #[new]
    fn new(topic: Py<PyString>, partition: i32, offset: i64, timestamp_ms: i64, event_id: String) -> Self {
        Self { topic, partition, offset, timestamp_ms, event_id }
    }

    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        self.topic.bind(py)
    }

    fn __repr__(&self) -> String {
        let (topic, partition, offset, timestamp_ms, event_id) = self.key();
        format!("RecordMetadata(topic='{topic}', partition={partition}, offset={offset}, timestamp_ms={timestamp_ms}, event_id='{event_id}')")
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let key = slf.get().key().into_pyobject(slf.py())?;
        Ok((slf.get_type(), key))
    }
}
