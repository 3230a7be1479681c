//! One attempt to deliver a record: what it aims at, and every way in which it ends.

use std::sync::Arc;
use std::time::Duration;

use super::record::Poison;
use crate::smtp::{self, Reply};

/// Who delivers a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The mail server.
    Smtp,
    /// The handler with this place in [`Limits::handlers`](super::Limits::handlers).
    Handler(usize),
}

/// What an attempt has to do.
#[derive(Clone)]
pub enum Work {
    /// Decode the record, render its template, and send the mail by SMTP.
    Mail,
    /// Decode the record and call the handler with this place in [`Limits::handlers`](super::Limits::handlers).
    Handle(usize),
    /// Send by SMTP the message that a handler composed, to the record's recipient.
    Send(Message),
}

/// A message that a handler composed, ready to be sent. The engine keeps it until there is a permit for SMTP.
#[derive(Clone)]
pub struct Message(pub Arc<[u8]>);

/// A step of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The record becomes an event.
    Decode,
    /// The templates become texts.
    Render,
    /// The texts become a message.
    Build,
    /// A handler runs.
    Handler,
    /// A step of the dialogue with the mail server.
    Smtp(smtp::Stage),
}

impl Stage {
    /// The name in `dlt-stage`, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Render => "render",
            Self::Build => "build",
            Self::Handler => "handler",
            Self::Smtp(stage) => stage.as_str(),
        }
    }
}

/// Why a dialogue with the mail server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SmtpCause {
    /// The server refused the command.
    Refused(Reply),
    /// A reply that the command cannot have: 2xx to DATA, 354 to another command.
    OutOfPlace(Reply),
    /// The deadline of the stage passed.
    Timeout,
    /// The connection ended, or the operating system reported an error on it.
    Closed,
    /// The reply does not follow the syntax.
    Malformed,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// STARTTLS is required and the server does not offer it.
    NoStartTls,
    /// The server offers no mechanism that the client has.
    NoMechanism,
    /// Credentials would have gone over a connection that is not encrypted.
    CleartextRefused,
    /// The token provider returned no token.
    NoToken,
    /// The message is larger than the server's SIZE.
    TooLarge,
    /// The address needs SMTPUTF8 and the server does not offer it: that of the sender at MAIL, of the recipient at RCPT.
    Utf8NotOffered,
    /// The address cannot be written in an envelope: that of the sender at MAIL, of the recipient at RCPT.
    InvalidAddress,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The record is no event: no value, no JSON, a recipient that is not one address, control characters.
    Undecodable,
    /// The templates could not be rendered.
    NotRendered,
    /// The message could not be built.
    NotBuilt,
    /// Code of the worker panicked while it decoded, rendered or built; a panic elsewhere is [`Failure::Crashed`].
    PreparationPanicked,
    /// The dialogue with the mail server failed.
    Smtp {
        /// Where.
        stage: smtp::Stage,
        /// Why.
        cause: SmtpCause,
        /// Whether the kernel had taken the last byte of the terminator.
        is_after_terminator: bool,
    },
    /// The attempt ended without a result: its task panicked or was dropped.
    Crashed {
        /// Whether the kernel had taken the last byte of the terminator, or may have.
        is_after_terminator: bool,
    },
    /// The handler raised `Retry(delay_s)`.
    HandlerRetry(Option<Duration>),
    /// The handler raised `Permanent(reason)`.
    HandlerPermanent,
    /// The handler raised another exception, or was cancelled.
    HandlerFailed,
    /// The handler took too long.
    HandlerTimeout,
}

impl From<Poison> for Failure {
    fn from(_: Poison) -> Self {
        Self::Undecodable
    }
}

impl Failure {
    /// Where the attempt failed.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Undecodable => Stage::Decode,
            Self::NotRendered => Stage::Render,
            Self::NotBuilt | Self::PreparationPanicked => Stage::Build,
            Self::Smtp { stage, .. } => Stage::Smtp(*stage),
            Self::Crashed { .. } => Stage::Smtp(smtp::Stage::Dot),
            Self::HandlerRetry(_) | Self::HandlerPermanent | Self::HandlerFailed | Self::HandlerTimeout => {
                Stage::Handler
            }
        }
    }

    /// The server's reply, if that is how it failed.
    pub fn reply(&self) -> Option<Reply> {
        match self {
            Self::Smtp { cause: SmtpCause::Refused(reply) | SmtpCause::OutOfPlace(reply), .. } => Some(*reply),
            _ => None,
        }
    }
}

/// How an attempt ended.
#[derive(Clone)]
pub enum AttemptResult {
    /// The server replied 2xx to the final dot, with this code.
    Accepted(u16),
    /// The handler returned `None`: it delivered the mail itself.
    Handled,
    /// The handler returned a mail, which is now to be sent.
    Composed(Message),
    /// The handler raised `Drop(reason)`: no mail is wanted.
    Dropped,
    /// It failed.
    Failed(Failure),
}
