//! What is known of an event between its publish and its outcome.

use pyo3::prelude::*;
use pyo3::types::PyString;
use uuid::Uuid;

use crate::email::EventId;

/// An event whose outcome is open.
pub(super) struct UnderWay {
    pub(super) id: Id,
    pub(super) topic: Py<PyString>,
    /// `verification` and so on, or the type of another publisher's event.
    pub(super) event_type: Py<PyString>,
}

/// The id of an event.
#[derive(Clone)]
pub(super) enum Id {
    Made(EventId),
    /// The caller's own.
    Given(Box<str>),
}

impl Id {
    /// Without the formatting machinery: this is on the way of every event.
    pub(super) fn text(&self) -> String {
        self.with_text(str::to_owned)
    }

    pub(super) fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Made(id) => use_text(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Self::Given(id) => use_text(id),
        }
    }
}
