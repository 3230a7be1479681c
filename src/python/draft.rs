//! Events on their way to the producer.

use pyo3::prelude::*;
use pyo3::types::PyString;
use smallvec::SmallVec;

use super::headers;
use super::under_way::{Id, UnderWay};
use crate::handover::Ticket;
use crate::kafka::failure::Failure;
use crate::kafka::librdkafka::{Header, Record};
use crate::producer::{Accepted, LateValue, Producer};

/// Headers of the caller: names and values.
pub(super) type OwnHeaders = Vec<(String, Vec<u8>)>;

/// An event ready to be queued.
pub(super) struct Draft<'a> {
    key: &'a [u8],
    value: &'a [u8],
    headers: &'a [(String, Vec<u8>)],
    /// The caller's own id.
    id: Option<&'a str>,
    /// How the value is kept while it waits.
    keep: &'a dyn Fn() -> Option<Box<dyn LateValue>>,
    is_too_large: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        key: &'a [u8],
        value: &'a [u8],
        headers: Option<&'a OwnHeaders>,
        id: Option<&'a str>,
        keep: &'a dyn Fn() -> Option<Box<dyn LateValue>>,
    ) -> Self {
        Self { key, value, headers: headers.map(Vec::as_slice).unwrap_or_default(), id, keep, is_too_large: false }
    }

    /// An event that was too large to be encoded.
    pub(super) fn too_large(id: Option<&'a str>) -> Self {
        Self { is_too_large: true, ..Self::new(&[], &[], None, id, &|| None) }
    }

    /// One event of a batch; without a value, it was too large to be encoded.
    pub(super) fn of_batch(
        key: &'a [u8],
        value: Option<&'a [u8]>,
        headers: Option<&'a OwnHeaders>,
        keep: &'a dyn Fn() -> Option<Box<dyn LateValue>>,
    ) -> Self {
        value.map_or_else(|| Self::too_large(None), |value| Self::new(key, value, headers, None, keep))
    }

    pub(super) fn id(&self) -> Option<&'a str> {
        self.id
    }

    /// Hands it over, with the headers of the package before the caller's own.
    pub(super) fn hand_over(
        &self,
        producer: &Producer,
        source: &str,
        kind: &Kind<'_, '_>,
        id: &Id,
        ticket: Ticket,
    ) -> PyResult<Result<Accepted, Failure>> {
        if self.is_too_large {
            return Ok(Err(producer.too_large()));
        }
        let (topic, event_type) = (kind.topic.to_str()?, kind.event_type.to_str()?);
        Ok(id.with_text(|id| {
            let mut headers: SmallVec<[Header<'_>; 8]> = SmallVec::new();
            headers.extend(headers::cloud_event(id.as_bytes(), event_type, source));
            headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
            let record = Record { topic, key: self.key, payload: self.value, headers: &headers };
            producer.enqueue(&record, ticket, self.keep)
        }))
    }
}

/// Where an event goes, and what type it has.
pub(super) struct Kind<'a, 'py> {
    topic: &'a Bound<'py, PyString>,
    event_type: &'a Bound<'py, PyString>,
}

impl<'a, 'py> Kind<'a, 'py> {
    pub(super) fn new(topic: &'a Bound<'py, PyString>, event_type: &'a Bound<'py, PyString>) -> Self {
        Self { topic, event_type }
    }

    /// What is known of an event of this kind until its outcome.
    pub(super) fn under_way(&self, id: Id) -> UnderWay {
        UnderWay { id, topic: self.topic.clone().unbind(), event_type: self.event_type.clone().unbind() }
    }
}
