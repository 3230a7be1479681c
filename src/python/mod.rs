//! The border: handles, arguments and exceptions for the Python face, and the settling of futures on the event loop.

mod broker;
mod exceptions;
mod fork;
mod headers;
mod mailbox;
mod metadata;
mod producer;
mod record_metadata;

/// The private module `kafka_email._core`.
#[pyo3::pymodule]
pub mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::broker::EmbeddedBroker;
    #[pymodule_export]
    use super::fork::forget_inherited;
    #[pymodule_export]
    use super::mailbox::{release_mailboxes, Mailbox};
    #[pymodule_export]
    use super::producer::{encode_email, librdkafka_version, Producer};
    #[pymodule_export]
    use super::record_metadata::RecordMetadata;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
