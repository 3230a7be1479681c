//! Questions of the command line to the mail server and to the cluster.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::blocking::on_a_thread;
use super::exceptions;
use super::token::TokenRef;
use crate::smtp::{Pool, Settings};
use crate::worker::{Cluster, Shape};

/// Why a mail server takes no mails, and what to do about it; None if it would take them. Signs in, and sends nothing.
#[pyfunction]
pub(super) fn check_smtp(settings: &Bound<'_, PyDict>, token: Option<String>) -> PyResult<Option<String>> {
    // Do not chain the error: it shows the value, which may be a secret.
    let native: Settings = pythonize::depythonize(settings).map_err(|_| unfit())?;
    on_a_thread(settings.py(), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
        let pool = Pool::new(native)?;
        if let Some(token) = token {
            pool.set_token(token);
        }
        runtime.block_on(pool.check()).map_err(|failure| failure.to_string())
    })
    .map(Result::err)
}

/// Those of `topics` and their dead-letter topics that do not exist. With `shape`, the numbers of partitions and of
/// replicas (-1: the brokers decide), they are created.
#[pyfunction]
pub(super) fn missing_topics(
    connection: &Bound<'_, PyDict>,
    topics: Vec<String>,
    shape: Option<(i32, i32)>,
    timeout: Duration,
    token: Option<&TokenRef>,
) -> PyResult<Vec<String>> {
    let py = connection.py();
    let cluster: Cluster = pythonize::depythonize(connection).map_err(|_| unfit())?;
    let token = token.map(TokenRef::native);
    let shape = shape.map(|(partitions, replication)| Shape { partitions, replication });
    match on_a_thread(py, move || cluster.missing_topics(token, &topics, shape, timeout))? {
        Ok(missing) => Ok(missing),
        Err(failure) => Err(PyErr::from_value(exceptions::from_failure(py, &failure, None)?)),
    }
}

fn unfit() -> PyErr {
    PyValueError::new_err("the configuration does not fit this version of kafka_email._core")
}
