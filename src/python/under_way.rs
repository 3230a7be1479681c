//! What is known of an event between its publish and its outcome.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::email::EventId;

/// An event whose outcome is open.
pub(super) struct UnderWay {
    pub(super) id: EventId,
    pub(super) topic: Py<PyString>,
    /// `verification` and so on, or the type of another publisher's event.
    pub(super) event_type: Py<PyString>,
}
