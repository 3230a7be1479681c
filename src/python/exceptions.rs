//! Failures become exceptions of `kafka_email.exceptions`, by class and never by text.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyModule};

use super::finalization::call;
use super::under_way::UnderWay;
use crate::kafka::failure::{Class, Failure};

/// Name of the exception class.
pub(super) fn name(class: Class) -> &'static str {
    match class {
        Class::Connection => "KafkaConnectionError",
        Class::Timeout => "KafkaTimeoutError",
        Class::QueueFull => "QueueFullError",
        Class::MessageTooLarge => "MessageTooLargeError",
        Class::UnknownTopic => "UnknownTopicError",
        Class::Authorization => "AuthorizationError",
        Class::Authentication => "AuthenticationError",
        Class::Configuration => "ConfigurationError",
        Class::Closed => "ProducerClosedError",
        Class::Fatal => "ProducerFatalError",
        Class::Other => "KafkaError",
    }
}

/// The exception for a failure of an event, or of a question.
pub(super) fn from_failure<'py>(
    py: Python<'py>,
    failure: &Failure,
    event: Option<&UnderWay>,
) -> PyResult<Bound<'py, PyAny>> {
    let details = [
        (intern!(py, "code"), failure.kind.code.into_pyobject(py)?.into_any()),
        (intern!(py, "retriable"), failure.kind.retriable.into_pyobject(py)?.to_owned().into_any()),
        (intern!(py, "maybe_delivered"), failure.maybe_delivered.into_pyobject(py)?.to_owned().into_any()),
        (intern!(py, "topic"), event.map(|event| &event.topic).into_pyobject(py)?.into_any()),
        (intern!(py, "event_id"), event.map(|event| event.id.text()).into_pyobject(py)?.into_any()),
    ]
    .into_py_dict(py)?;
    call(&module(py)?.getattr(name(failure.kind.class))?, (failure.message.as_str(),), Some(&details))
}

/// As [`from_failure`], also when a signal handler raises meanwhile; returns what it raised.
pub(super) fn from_failure_for_certain<'py>(
    py: Python<'py>,
    failure: &Failure,
    event: Option<&UnderWay>,
) -> (Bound<'py, PyAny>, PyResult<()>) {
    match from_failure(py, failure, event) {
        Ok(exception) => (exception, Ok(())),
        Err(raised) => {
            let exception = from_failure(py, failure, event);
            (exception.unwrap_or_else(|error| error.into_value(py).into_bound(py).into_any()), Err(raised))
        }
    }
}

/// The exception of a forked child that uses the producer it inherited.
pub(super) fn inherited(py: Python<'_>) -> PyErr {
    let message = "this process was forked from one whose Kafka producer was started, and a producer's threads do not \
                   survive a fork: call `await kafka_manager.start()` in this process";
    of_class(py, "NotStartedError", "NOT_STARTED", message)
}

/// The exception of a forked child that uses the worker it inherited.
pub(super) fn inherited_worker(py: Python<'_>) -> PyErr {
    let message = "this process was forked from one whose worker was started, and a worker's threads do not survive a \
                   fork: start a worker in this process";
    of_class(py, "NotStartedError", "NOT_STARTED", message)
}

/// The exception for templates, or a mail, that cannot work.
pub(super) fn template(py: Python<'_>, message: &str) -> PyErr {
    of_class(py, name(Class::Configuration), "TEMPLATE", message)
}

/// The exception for a configuration that cannot work.
pub(super) fn configuration(py: Python<'_>, message: &str) -> PyErr {
    of_class(py, name(Class::Configuration), "INVALID_CONFIG", message)
}

fn of_class(py: Python<'_>, class: &str, code: &str, message: &str) -> PyErr {
    let exception = module(py).and_then(|module| {
        let details = [(intern!(py, "code"), code)].into_py_dict(py)?;
        call(&module.getattr(class)?, (message,), Some(&details))
    });
    exception.map_or_else(|error| error, PyErr::from_value)
}

fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(MODULE.get_or_try_init(py, || py.import("kafka_email.exceptions").map(Bound::unbind))?.bind(py))
}
