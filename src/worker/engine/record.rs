//! A record as Kafka stores it, and the event in it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::identity::{PartitionId, Place, RecordId};
use crate::email::name;

/// A header: a name, and a value that Kafka allows to be absent.
pub type Header = (String, Option<Vec<u8>>);

/// A record. No `Debug`: it is personal data.
pub struct Record {
    id: RecordId,
    partition: PartitionId,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
    event_id: Option<Arc<str>>,
    event_type: Arc<str>,
    expires_at_ms: Option<i64>,
}

/// The event in a record. No `Debug`: it is personal data, and the link may be a secret.
#[derive(Clone, Deserialize)]
pub struct Event {
    /// What kind of e-mail; empty if the value does not say.
    #[serde(default)]
    pub email_type: String,
    /// Address to send it to.
    pub recipient: String,
    /// Name to greet.
    #[serde(default)]
    pub username: String,
    /// Link to show, any text.
    #[serde(default)]
    pub link: String,
    /// When the event was made, as its publisher wrote it.
    #[serde(default)]
    pub timestamp: String,
    /// Everything else.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// The record cannot be decoded into an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// It has no value.
    #[error("the record has no value")]
    NoValue,
    /// The value is no JSON, or not that of an event.
    #[error("the value is not the JSON of an event")]
    NotAnEvent,
    /// The recipient is not one address.
    #[error("the recipient is not one plain address")]
    Recipient,
    /// The name has control characters that could add headers to the mail.
    #[error("the username has control characters")]
    ControlCharacters,
}

/// What makes up a record.
pub struct Parts {
    /// Assignment and offset.
    pub id: RecordId,
    /// Where it comes from.
    pub partition: PartitionId,
    /// Milliseconds since the epoch; negative if the record has no timestamp.
    pub timestamp_ms: i64,
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// The value, if there is one.
    pub value: Option<Vec<u8>>,
    /// All headers, in order.
    pub headers: Vec<Header>,
}

impl Record {
    /// A record, with the headers read that the worker acts on.
    pub fn new(parts: Parts) -> Self {
        let Parts { id, partition, timestamp_ms, key, value, headers } = parts;
        let text = |name| find(&headers, name).and_then(|value| std::str::from_utf8(value).ok());
        let event_id = text("ce_id").filter(|id| is_event_id(id)).map(Arc::from);
        let event_type = Arc::from(text("ce_type").unwrap_or(partition.topic()));
        let expires_at_ms = text("expires-at").and_then(|at| at.parse().ok());
        Self { id, partition, timestamp_ms, key, value, headers, event_id, event_type, expires_at_ms }
    }

    /// Assignment and offset.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// Where it comes from.
    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }

    /// Milliseconds since the epoch.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// Where it is, for the log.
    pub fn place(&self) -> Place {
        Place {
            partition: self.partition.clone(),
            offset: self.id.offset,
            event_type: Arc::clone(&self.event_type),
            event_id: self.event_id.clone(),
        }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// All headers, in order.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The value of the last header with this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        find(&self.headers, name)
    }

    /// The header `ce_id`, if it is one: 1 to 128 printable ASCII characters without spaces.
    pub fn event_id(&self) -> Option<&Arc<str>> {
        self.event_id.as_ref()
    }

    /// The header `ce_type`, or else the name of the topic.
    pub fn event_type(&self) -> &Arc<str> {
        &self.event_type
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> Option<&str> {
        self.header("traceparent").and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The header `expires-at`, in milliseconds since the epoch.
    pub fn expires_at_ms(&self) -> Option<i64> {
        self.expires_at_ms
    }

    /// The event in it.
    ///
    /// # Errors
    /// If there is none that could be sent.
    pub fn decode(&self) -> Result<Event, Poison> {
        let value = self.value().ok_or(Poison::NoValue)?;
        let event: Event = serde_json::from_slice(value).map_err(|_| Poison::NotAnEvent)?;
        if !is_one_address(&event.recipient) {
            return Err(Poison::Recipient);
        }
        if !name::is_clean(&event.username) {
            return Err(Poison::ControlCharacters);
        }
        Ok(event)
    }

    /// The recipient, without decoding the rest.
    pub fn recipient(&self) -> Option<Cow<'_, str>> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            recipient: Cow<'a, str>,
        }
        serde_json::from_slice(self.value()?).ok().map(|Envelope { recipient }| recipient)
    }

    /// About how much memory it takes.
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| 64 + name.len() + value.as_ref().map_or(0, Vec::len)).sum();
        512 + self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers
    }
}

fn find<'a>(headers: &'a [Header], name: &str) -> Option<&'a [u8]> {
    headers.iter().rev().find(|(found, _)| found == name).and_then(|(_, value)| value.as_deref())
}

fn is_event_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether it has one @-sign with something on both sides, and nothing that makes it a list, a name with an address, or
/// a command of SMTP.
fn is_one_address(address: &str) -> bool {
    let is_forbidden = |c: char| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"".contains(c);
    match address.split_once('@') {
        Some((local_part, domain)) => {
            !local_part.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && address.len() <= 254
                && !address.contains(is_forbidden)
        }
        None => false,
    }
}
