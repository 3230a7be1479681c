//! The handle of an SMTP sink, for tests and benchmarks.

use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::blocking;
use super::process_bound::ProcessBound;
use crate::testing::{event_id, SinkError, SinkOptions, SmtpSink, Stage};

/// An SMTP server inside the process.
#[pyclass(frozen, name = "SmtpSink", module = "kafka_email._core")]
pub(super) struct SmtpSinkRef(ProcessBound<SmtpSink>);

/// Sender, recipients, content and event id of a mail.
type Mail = (String, Vec<String>, Py<PyBytes>, Option<String>);

impl SmtpSinkRef {
    fn own(&self) -> PyResult<&SmtpSink> {
        let inherited =
            || PyRuntimeError::new_err("the SMTP sink belongs to the process that this one was forked from");
        self.0.get().ok_or_else(inherited)
    }
}

#[pymethods]
impl SmtpSinkRef {
    #[new]
    fn new(options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let options: SinkOptions = pythonize::depythonize(options)?;
        Ok(Self(ProcessBound::new(SmtpSink::new(options)?)))
    }

    /// Listens; returns the port.
    fn start(&self, py: Python<'_>) -> PyResult<u16> {
        let sink = self.own()?;
        Ok(py.detach(|| sink.start())?)
    }

    /// Does nothing to a sink that a parent process runs.
    fn stop(&self, py: Python<'_>) {
        if let Some(sink) = self.0.get() {
            py.detach(|| sink.stop());
        }
    }

    fn mails(&self, py: Python<'_>) -> PyResult<Vec<Mail>> {
        let mails = self.own()?.mails();
        let translated = mails.iter().map(|mail| {
            let id = event_id(&mail.raw).map(Into::into);
            (mail.sender.clone(), mail.recipients.clone(), PyBytes::new(py, &mail.raw).unbind(), id)
        });
        Ok(translated.collect())
    }

    #[getter]
    fn count(&self) -> PyResult<usize> {
        Ok(self.own()?.count())
    }

    /// Whether so many mails came in time. Signal handlers run meanwhile, and their exceptions end the wait.
    fn wait(&self, py: Python<'_>, count: usize, timeout: Duration) -> PyResult<bool> {
        let sink = self.own()?;
        let came = blocking::wait_for(py, timeout, |slice| (sink.wait(count, slice) >= count).then_some(()))?;
        Ok(came.is_some())
    }

    fn fail_next(&self, stage: &str, code: u16, count: usize) -> PyResult<()> {
        self.own()?.fail_next(stage_of(stage)?, code, count);
        Ok(())
    }

    fn drop_next(&self, stage: &str, count: usize) -> PyResult<()> {
        self.own()?.drop_next(stage_of(stage)?, count);
        Ok(())
    }

    fn set_delay(&self, delay: Duration) -> PyResult<()> {
        self.own()?.set_delay(delay);
        Ok(())
    }

    fn clear(&self) -> PyResult<()> {
        self.own()?.clear();
        Ok(())
    }
}

fn stage_of(name: &str) -> PyResult<Stage> {
    Stage::from_name(name).ok_or_else(|| {
        let names = Stage::ALL.map(Stage::name).join(", ");
        PyValueError::new_err(format!("unknown stage {name:?}: one of {names}"))
    })
}

impl From<SinkError> for PyErr {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Tls(_) => PyValueError::new_err(error.to_string()),
            _ => PyOSError::new_err(error.to_string()),
        }
    }
}
