//! Dead letters: records that the worker gives up, with the reason in their headers.

use std::sync::Arc;

use super::record::Record;

/// Why a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It cannot be decoded into an event.
    Poison,
    /// Rendering or building failed.
    Template,
    /// The server refused it, or the handler raised `Permanent`.
    Permanent,
    /// It failed for too long.
    Retries,
    /// It is too old to be of use.
    TooOld,
    /// Nobody knows whether the server took it, and it must not be sent twice.
    Unknown,
}

impl Reason {
    /// The text in `dlt-reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::Template => "template",
            Self::Permanent => "permanent",
            Self::Retries => "retries",
            Self::TooOld => "too_old",
            Self::Unknown => "unknown",
        }
    }
}

/// A dead letter, to be produced with the key and the value of its record.
#[derive(Clone)]
pub struct DeadLetter {
    /// `<topic>-dlt`.
    pub topic: String,
    /// For key and value.
    pub record: Arc<Record>,
    /// All headers, in order: those of the record, then those that begin with `dlt-`.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}
