//! What a publish returns.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyDict, PyString, PyTuple, PyType};

use super::under_way::Id;
use crate::email::Timestamp;
use crate::kafka::librdkafka::Acknowledgement;
use crate::testing;

const FIELDS: [&str; 5] = ["topic", "partition", "offset", "timestamp_ms", "event_id"];

/// Where and when an event was stored.
///
/// `topic`: topic name. `partition`: its partition, from 0. `offset`: position in the partition, -1 with `acks=0`.
/// `timestamp_ms`: milliseconds since the Unix epoch, of creation, or of storage where the topic says so.
/// `event_id`: what the record carries in its `ce_id` header, for consumers to drop duplicates by; a `UUIDv7` (RFC 9562)
/// unless the caller gave another.
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
    pub(super) fn acknowledged(topic: Py<PyString>, stored: Acknowledgement, id: &Id) -> Self {
        let Acknowledgement { partition, offset, timestamp_ms } = stored;
        let timestamp_ms = if testing::is_made_up(timestamp_ms) { created_ms(id) } else { timestamp_ms };
        Self { topic, partition, offset, timestamp_ms, event_id: id.text() }
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

/// A dataclass with the same fields, for all that knows what to do with dataclasses.
fn form(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FORM: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = || {
        let types = ["str", "int", "int", "int", "str"];
        let fields: Vec<_> = FIELDS.into_iter().zip(types).collect();
        let frozen = [("frozen", true)].into_py_dict(py)?;
        let made = py.import("dataclasses")?.call_method("make_dataclass", ("RecordMetadata", fields), Some(&frozen));
        made.map(Bound::unbind)
    };
    Ok(FORM.get_or_try_init(py, make)?.bind(py))
}

/// The time in a `UUIDv7`, its first 48 bits (RFC 9562, section 5.7); an id of the caller's has none, and the time is now.
fn created_ms(id: &Id) -> i64 {
    match id {
        Id::Made(id) => i64::try_from(id.as_u128() >> 80).unwrap_or(-1),
        Id::Given(_) => Timestamp::now().millis(),
    }
}

#[pymethods]
impl RecordMetadata {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, FIELDS)
    }

    #[classattr]
    fn __dataclass_fields__(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        form(py)?.getattr("__dataclass_fields__")
    }

    #[classattr]
    fn __dataclass_params__(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        form(py)?.getattr("__dataclass_params__")
    }

    #[classmethod]
    fn __get_pydantic_core_schema__<'py>(
        cls: &Bound<'py, PyType>,
        _source: &Bound<'py, PyAny>,
        handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        py.import("kafka_email._schema")?.call_method1("schema_of", (cls, form(py)?, handler))
    }

    /// The fields by their names, all of them JSON types.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item(intern!(py, "topic"), &self.topic)?;
        dict.set_item(intern!(py, "partition"), self.partition)?;
        dict.set_item(intern!(py, "offset"), self.offset)?;
        dict.set_item(intern!(py, "timestamp_ms"), self.timestamp_ms)?;
        dict.set_item(intern!(py, "event_id"), &self.event_id)?;
        Ok(dict)
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
