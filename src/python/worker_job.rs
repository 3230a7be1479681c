//! What crosses between the worker and a handler: a call, and the mail that may come back.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::mail::{Attachment, Draft};
use crate::worker::Job;

/// A call of a handler.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct WorkerJob {
    /// Names the call.
    number: u64,
    /// The handler's place in the settings.
    handler: usize,
    email_type: String,
    recipient: String,
    username: String,
    link: String,
    /// When the event was made, as its publisher wrote it.
    timestamp: String,
    metadata: Py<PyAny>,
    event_id: Option<String>,
    headers: Vec<(String, Option<Py<PyBytes>>)>,
    topic: String,
    partition: i32,
    offset: i64,
    /// When the record was stored, in milliseconds since the Unix epoch.
    timestamp_ms: i64,
    /// 1 for the first.
    attempt: u32,
}

impl WorkerJob {
    pub(super) fn new(py: Python<'_>, job: Job) -> PyResult<Self> {
        let Job { number, handler, event, record, attempt } = job;
        let email_type = if event.email_type.is_empty() { record.event_type().to_string() } else { event.email_type };
        let header = |(name, value): &(String, Option<Vec<u8>>)| {
            (name.clone(), value.as_ref().map(|value| PyBytes::new(py, value).unbind()))
        };
        Ok(Self {
            number,
            handler,
            email_type,
            recipient: event.recipient,
            username: event.username,
            link: event.link,
            timestamp: event.timestamp,
            metadata: parsed(py, &event.metadata)?,
            event_id: record.event_id().map(ToString::to_string),
            headers: record.headers().iter().map(header).collect(),
            topic: record.partition().topic().to_owned(),
            partition: record.partition().number(),
            offset: record.id().offset,
            timestamp_ms: record.timestamp_ms(),
            attempt,
        })
    }
}

/// As Python's own `json` reads it: pythonize would show how serde_json keeps numbers of any precision.
fn parsed(py: Python<'_>, metadata: &serde_json::Map<String, serde_json::Value>) -> PyResult<Py<PyAny>> {
    let json = serde_json::to_string(metadata).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (json,))?.unbind())
}

/// The native form of a `kafka_email.worker.Mail`.
///
/// # Errors
/// When an attribute is missing or of another type.
pub(super) fn draft_of(mail: &Bound<'_, PyAny>) -> PyResult<Draft> {
    let files = |name: &str| -> PyResult<Vec<Attachment>> {
        mail.getattr(name)?.try_iter()?.map(|attachment| attachment_of(&attachment?)).collect()
    };
    Ok(Draft {
        subject: mail.getattr("subject")?.extract()?,
        text: mail.getattr("text")?.extract()?,
        html: mail.getattr("html")?.extract()?,
        attachments: files("attachments")?,
        inline: files("inline")?,
        reply_to: mail.getattr("reply_to")?.extract()?,
        from_name: mail.getattr("from_name")?.extract()?,
        headers: mail
            .getattr("headers")?
            .call_method0("items")?
            .try_iter()?
            .map(|item| item?.extract())
            .collect::<PyResult<_>>()?,
    })
}

fn attachment_of(attachment: &Bound<'_, PyAny>) -> PyResult<Attachment> {
    Ok(Attachment {
        filename: attachment.getattr("filename")?.extract()?,
        content: attachment.getattr("content")?.extract()?,
        content_type: attachment.getattr("content_type")?.extract()?,
        cid: attachment.getattr("cid")?.extract()?,
    })
}
