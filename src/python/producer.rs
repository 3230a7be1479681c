//! The handle of a producer.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::mailbox::Mailbox;
use super::process_bound::ProcessBound;
use super::promise::Promise;
use super::token::TokenRef;
use super::under_way::Id;
use super::{exceptions, mailboxes};
use crate::email::{EventIds, Timestamp};
use crate::handover::Ticket;
use crate::producer::{Producer, Settings};

/// Handle of a native producer.
#[pyclass(frozen, name = "Producer", module = "kafka_email._core")]
pub(super) struct ProducerRef {
    native: ProcessBound<Producer>,
    ids: EventIds,
    source: String,
}

impl ProducerRef {
    /// Opens a producer. The running loop writes its first log lines, if one runs.
    pub(super) fn open(config: &Bound<'_, PyDict>, log_native: bool, token: Option<&TokenRef>) -> PyResult<Self> {
        // Do not chain the error: it shows the value, which may be a secret.
        let settings: Settings = pythonize::depythonize(config)
            .map_err(|_| PyValueError::new_err("the configuration does not fit this version of kafka_email._core"))?;
        let source = settings.client_id().to_owned();
        let py = config.py();
        let mailbox = mailboxes::of_running_loop_if_any(py)?;
        let queue = mailbox.as_ref().map(|mailbox| mailbox.get().queue(py)).transpose()?;
        let native = Producer::open(settings, log_native, token.map(TokenRef::native), queue)?;
        let ids = EventIds::new().map_err(|error| PyRuntimeError::new_err(format!("no randomness: {error}")))?;
        Ok(Self { native: ProcessBound::new(native), ids, source })
    }

    /// The producer.
    ///
    /// # Errors
    /// When a parent process made it.
    pub(super) fn native(&self, py: Python<'_>) -> PyResult<&Producer> {
        self.native.get().ok_or_else(|| exceptions::inherited(py))
    }

    /// The producer, unless a parent process made it.
    pub(super) fn own(&self) -> Option<&Producer> {
        self.native.get()
    }

    /// The producer, and the mailbox of the running loop, which gets its outcomes.
    pub(super) fn attached(&self, py: Python<'_>) -> PyResult<(&Producer, Py<Mailbox>)> {
        let producer = self.native(py)?;
        let mailbox = mailboxes::of_running_loop(py)?;
        producer.attach(mailbox.get().queue(py)?);
        Ok((producer, mailbox))
    }

    /// A promise of the answer to a question.
    pub(super) fn ask<'py>(
        &self,
        py: Python<'py>,
        ask: impl FnOnce(&Producer, Ticket),
    ) -> PyResult<Bound<'py, Promise>> {
        let (producer, mailbox) = self.attached(py)?;
        let (promise, ticket) = mailbox.get().register_question(py)?;
        ask(producer, ticket);
        Ok(promise)
    }

    /// The id of an event: the caller's, or a new one.
    pub(super) fn id(&self, given: Option<&str>) -> Id {
        given.map_or_else(|| Id::Made(self.ids.next(Timestamp::now())), |id| Id::Given(id.into()))
    }

    /// What the events of this producer name as their source.
    pub(super) fn source(&self) -> &str {
        &self.source
    }
}

/// Version of the librdkafka inside.
#[pyfunction]
pub(super) fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
