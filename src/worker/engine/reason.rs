//! Why a record is given up.

use super::attempt::Failure;

/// The text in `dlt-reason`.
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
    /// The reason of a failure whose verdict is permanent.
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Undecodable => Self::Poison,
            Failure::NotRendered | Failure::NotBuilt | Failure::PreparationPanicked => Self::Template,
            Failure::Smtp { .. }
            | Failure::Crashed { .. }
            | Failure::HandlerRetry(_)
            | Failure::HandlerPermanent
            | Failure::HandlerFailed
            | Failure::HandlerTimeout => Self::Permanent,
        }
    }

    /// The text.
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
