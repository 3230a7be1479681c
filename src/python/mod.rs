//! The border to Python, which only translates: handles, arguments and exceptions for the Python face, and the promises
//! that coroutines await.
//!
//! A publish makes a [`promise`] and leaves a [`waiter`] in the [`mailbox`] of the running event loop. Native threads
//! put outcomes into the mailbox's queue; the loop settles them there, and resumes the coroutines.

mod batch;
mod blocking;
mod broker;
mod checks;
mod clock;
mod context;
mod dead_letters;
mod draft;
mod encoder;
mod exceptions;
mod finalization;
mod handle;
mod headers;
mod home;
mod late;
mod lines;
mod mail;
mod mailbox;
mod mailboxes;
mod mailer;
mod metadata;
mod metrics;
mod process_bound;
mod producer;
mod producer_methods;
mod promise;
mod publishing;
mod record_metadata;
mod reports;
mod results;
mod sink;
mod token;
mod under_way;
mod waiter;
mod worker;
mod worker_job;

/// The private module `kafka_email._core`.
#[pyo3::pymodule]
pub mod _core {
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    use crate::kafka::log_line::LogEvent;

    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::broker::{EmbeddedBrokerRef, StoredRecord};
    #[pymodule_export]
    use super::checks::{check_smtp, missing_topics};
    #[pymodule_export]
    use super::dead_letters::{DeadLetter, DeadLettersRef};
    #[pymodule_export]
    use super::handle::{CompletionsRef, Handle};
    #[pymodule_export]
    use super::mailbox::Mailbox;
    #[pymodule_export]
    use super::mailboxes::{forget_inherited, release_mailbox};
    #[pymodule_export]
    use super::mailer::{Mailer, Mistake};
    #[pymodule_export]
    use super::metrics::{count_invalid, metrics, Histogram, Metrics};
    #[pymodule_export]
    use super::producer::{librdkafka_version, ProducerRef};
    #[pymodule_export]
    use super::record_metadata::RecordMetadata;
    #[pymodule_export]
    use super::reports::{Gauges, Health, StopCounts};
    #[pymodule_export]
    use super::sink::SmtpSinkRef;
    #[pymodule_export]
    use super::token::TokenRef;
    #[pymodule_export]
    use super::worker::{WorkerRef, WorkerSnapshot};
    #[pymodule_export]
    use super::worker_job::WorkerJob;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        let events = LogEvent::ALL.map(LogEvent::name);
        module.add("LOG_EVENTS", PyTuple::new(module.py(), events)?)
    }
}
