//! The border: handles, arguments and exceptions for the Python face, and the promises that event loops wait for.

mod batch;
mod broker;
mod encoder;
mod exceptions;
mod headers;
mod mailbox;
mod metadata;
mod metrics;
mod process_bound;
mod producer;
mod promise;
mod record_metadata;

/// The private module `kafka_email._core`.
#[pyo3::pymodule]
pub mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::broker::EmbeddedBroker;
    #[pymodule_export]
    use super::mailbox::{release_mailboxes, Mailbox};
    #[pymodule_export]
    use super::metrics::{count_invalid, metrics};
    #[pymodule_export]
    use super::process_bound::forget_inherited;
    #[pymodule_export]
    use super::producer::{librdkafka_version, Producer};
    #[pymodule_export]
    use super::record_metadata::RecordMetadata;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
