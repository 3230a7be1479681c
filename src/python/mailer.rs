//! Renders and builds mails without sending them.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Deserialize;

use super::exceptions;
use super::mail::Mail;
use crate::mail::{self, Catalogue, Draft, Named, Sender, Sources, Values};

const MILLIS: i64 = 1000;

/// The templates and the sender of all mails.
#[pyclass(frozen, module = "kafka_email._core")]
pub(super) struct Mailer {
    catalogue: Catalogue,
    sender: Sender,
}

/// Something in a template that its author has to correct.
#[pyclass(frozen, get_all, module = "kafka_email._core")]
pub(super) struct Mistake {
    file: String,
    line: Option<usize>,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    folder: Option<PathBuf>,
    builtin: PathBuf,
    named: Vec<NamedTemplate>,
    default_language: String,
    from_address: String,
    from_name: Option<String>,
    reply_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedTemplate {
    email_type: String,
    html: Option<String>,
    text: Option<String>,
    subject: String,
}

impl Mailer {
    fn message<'py>(
        &self,
        py: Python<'py>,
        draft: &Draft,
        recipient: &str,
        event_id: &str,
        date: i64,
        list_unsubscribe: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        mail::build(draft, &self.sender, event_id, recipient, date, list_unsubscribe)
            .map(|message| PyBytes::new(py, &message))
            .map_err(|error| exceptions::template(py, &error.to_string()))
    }
}

#[pymethods]
impl Mailer {
    #[new]
    fn new(py: Python<'_>, settings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let settings: Settings = pythonize::depythonize(settings)?;
        let named = |named: NamedTemplate| Named {
            email_type: named.email_type,
            html: named.html,
            text: named.text,
            subject: named.subject,
        };
        let sources = Sources {
            folder: settings.folder,
            builtin: settings.builtin,
            named: settings.named.into_iter().map(named).collect(),
            default_language: settings.default_language,
        };
        let sender =
            Sender { from_address: settings.from_address, from_name: settings.from_name, reply_to: settings.reply_to };
        let catalogue = py.detach(|| Catalogue::load(&sources)).map_err(|mistakes| {
            let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            exceptions::template(py, &lines.join("\n"))
        })?;
        Ok(Self { catalogue, sender })
    }

    /// The message of an event. `metadata_json` is the JSON object of its metadata.
    #[expect(clippy::too_many_arguments)]
    fn render<'py>(
        &self,
        py: Python<'py>,
        email_type: &str,
        recipient: &str,
        username: &str,
        link: &str,
        metadata_json: &str,
        event_id: &str,
        timestamp_ms: i64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let metadata = serde_json::from_str(metadata_json)
            .map_err(|_| PyValueError::new_err("the metadata is not a JSON object"))?;
        let now = timestamp_ms.div_euclid(MILLIS);
        let values = Values { email_type, recipient, username, link, metadata: &metadata, now };
        let rendered = self.catalogue.render(&values).map_err(|error| exceptions::template(py, &error.to_string()))?;
        let list_unsubscribe = values.list_unsubscribe();
        self.message(py, &Draft::from(rendered), recipient, event_id, now, list_unsubscribe)
    }

    /// The message of a mail that a handler made.
    #[pyo3(signature = (mail, recipient, event_id, timestamp_ms, list_unsubscribe))]
    fn build<'py>(
        &self,
        py: Python<'py>,
        mail: Mail,
        recipient: &str,
        event_id: &str,
        timestamp_ms: i64,
        list_unsubscribe: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let date = timestamp_ms.div_euclid(MILLIS);
        self.message(py, &Draft::from(mail), recipient, event_id, date, list_unsubscribe)
    }

    /// Whether there are templates for this type.
    fn has(&self, email_type: &str) -> bool {
        self.catalogue.has(email_type)
    }

    /// What the authors of the templates have to correct.
    fn check(&self, py: Python<'_>) -> Vec<Mistake> {
        let mistakes = py.detach(|| self.catalogue.check());
        mistakes
            .into_iter()
            .map(|mistake| Mistake { file: mistake.file, line: mistake.line, message: mistake.message })
            .collect()
    }
}

#[pymethods]
impl Mistake {
    fn __repr__(&self) -> String {
        let Self { file, line, message } = self;
        mail::Mistake { file: file.clone(), line: *line, message: message.clone() }.to_string()
    }
}
