//! What is known of an event between its publish and its outcome.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use uuid::Uuid;

use super::context::call_in;
use super::finalization::call;
use crate::email::EventId;
use crate::kafka::failure::{Class, Failure};
use crate::kafka::librdkafka::Acknowledgement;
use crate::producer::METRICS;

/// An event whose outcome is open.
pub(super) struct UnderWay {
    pub(super) id: Id,
    pub(super) topic: Py<PyString>,
    /// `verification` and so on, or the type of another publisher's event.
    pub(super) event_type: Py<PyString>,
}

impl UnderWay {
    /// An event with an id of the caller's.
    pub(super) fn of_caller(id: &str, topic: Py<PyString>, event_type: Py<PyString>) -> Self {
        Self { id: Id::Given(id.into()), topic, event_type }
    }

    /// Writes to the application's log that the event is stored, in this context, or in the present one.
    pub(super) fn log_delivery(
        &self,
        py: Python<'_>,
        stored: Acknowledgement,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let function = logging(py)?.getattr(intern!(py, "delivered"))?;
        let arguments = (function, self.id.text(), &self.topic, stored.partition, stored.offset, &self.event_type);
        call_in(context, arguments.into_pyobject(py)?)
    }

    /// Writes to the application's log that the event failed, in this context, or in the present one.
    pub(super) fn log_failure(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let function = logging(py)?.getattr(intern!(py, "failed"))?;
        let arguments = (function, self.id.text(), &self.topic, &self.event_type, exception);
        call_in(context, arguments.into_pyobject(py)?)
    }

    /// Counts and logs that the event was refused. After a stop there is no log line, as there is none before a start.
    pub(super) fn log_refusal(&self, py: Python<'_>, failure: &Failure, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        METRICS.fail(failure.kind.class);
        if failure.kind.class == Class::Closed {
            return Ok(());
        }
        self.log_failure(py, exception, None)
    }
}

/// Whether the application wants a line for each event that is stored.
pub(super) fn logs_deliveries(py: Python<'_>) -> PyResult<bool> {
    call(&logging(py)?.getattr(intern!(py, "logs_deliveries"))?, (), None)?.extract()
}

fn logging(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "kafka_email._logging"))
}

/// The id of an event.
#[derive(Clone)]
pub(super) enum Id {
    Made(EventId),
    /// The caller's own.
    Given(Box<str>),
}

impl Id {
    /// Without the formatting machinery: this is on the way of every event.
    pub(super) fn text(&self) -> String {
        self.with_text(str::to_owned)
    }

    pub(super) fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Made(id) => use_text(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Self::Given(id) => use_text(id),
        }
    }
}
