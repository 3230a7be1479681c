//! Why a mail was not delivered, or may not have been.

use super::reply::Reply;
use super::stage::Stage;
use std::{fmt, io};

/// A delivery that failed. Its text contains no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    stage: Stage,
    cause: Cause,
    is_after_terminator: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server refused the command, with 4xx or 5xx.
    Refused(Reply),
    /// The reply is none that the command can have, such as 250 to DATA.
    OutOfPlace(Reply),
    /// The deadline of the stage passed.
    Timeout,
    /// The server closed the connection.
    Closed,
    /// What the server sent is no reply.
    Malformed,
    /// The operating system reported another error, or what came is not the TLS of this session (`InvalidData`).
    Io(io::ErrorKind),
    /// The name of the server cannot be resolved.
    HostNotFound,
    /// The TLS handshake failed, with the reason that rustls gives.
    Tls(String),
    /// The server does not offer STARTTLS.
    NoStartTls,
    /// The server offers no mechanism of authentication that fits the credentials.
    NoMechanism,
    /// Credentials would have been sent without encryption.
    CleartextRefused,
    /// No access token is there yet.
    NoToken,
    /// The message is larger than the server accepts.
    TooLarge {
        /// What the server accepts, in bytes.
        limit: usize,
    },
    /// The address is not ASCII, and the server does not offer SMTPUTF8.
    Utf8NotOffered,
    /// The address cannot be sent: it holds characters that end a command, or its domain has no ASCII form.
    InvalidAddress,
}

impl Failure {
    /// A failure before the terminator was sent.
    pub const fn new(stage: Stage, cause: Cause) -> Self {
        Self { stage, cause, is_after_terminator: false }
    }

    /// A failure when the whole mail was sent already.
    pub const fn after_terminator(cause: Cause) -> Self {
        Self { stage: Stage::Dot, cause, is_after_terminator: true }
    }

    /// Where it happened.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// What happened.
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The refusing reply, if the server gave one.
    pub const fn refusal(&self) -> Option<Reply> {
        match self.cause {
            Cause::Refused(reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether the kernel had taken the last byte of the terminator. From then on the server may have accepted the mail,
    /// unless it refused it.
    pub const fn is_after_terminator(&self) -> bool {
        self.is_after_terminator
    }

    /// Whether it may be due to the age of the connection, so that a new one is worth a try.
    pub(super) fn may_be_stale(&self) -> bool {
        match &self.cause {
            Cause::Refused(reply) => reply.is_goodbye() && self.stage == Stage::Mail,
            Cause::OutOfPlace(_) | Cause::Timeout | Cause::Closed | Cause::Malformed | Cause::Io(_) | Cause::Tls(_) => {
                true
            }
            _ => false,
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, cause, .. } = self;
        write!(f, "{cause} (stage {})", stage.as_str())?;
        match remedy(*stage, cause) {
            Some(remedy) => write!(f, ". {remedy}."),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reply) => write!(f, "The mail server refused with {reply}"),
            Self::OutOfPlace(reply) => write!(f, "The mail server replied {reply}, which does not fit the command"),
            Self::Timeout => f.write_str("The mail server did not respond in time"),
            Self::Closed => f.write_str("The mail server closed the connection"),
            Self::Malformed => f.write_str("The mail server sent something that is no SMTP reply"),
            Self::Io(kind) => write!(f, "The connection to the mail server failed: {kind}"),
            Self::HostNotFound => f.write_str("The name of the mail server cannot be resolved"),
            Self::Tls(reason) => write!(f, "The TLS handshake with the mail server failed: {reason}"),
            Self::NoStartTls => f.write_str("The mail server does not offer STARTTLS"),
            Self::NoMechanism => {
                f.write_str("The mail server offers no mechanism of authentication that fits the credentials")
            }
            Self::CleartextRefused => {
                f.write_str("The credentials were not sent, since the connection is not encrypted")
            }
            Self::NoToken => f.write_str("There is no access token to sign in with"),
            Self::TooLarge { limit } => {
                write!(f, "The message is larger than the {limit} bytes the mail server accepts")
            }
            Self::Utf8NotOffered => {
                f.write_str("The address is not ASCII, and the mail server does not offer SMTPUTF8")
            }
            Self::InvalidAddress => f.write_str("The address is not valid in SMTP"),
        }
    }
}

/// What to do about it, where that can be told.
fn remedy(stage: Stage, cause: &Cause) -> Option<&'static str> {
    Some(match (stage, cause) {
        (Stage::Connect, _) => "Check SMTP_HOST and SMTP_PORT, and whether the mail server runs",
        (Stage::Greeting, Cause::Timeout | Cause::Closed | Cause::Malformed) => {
            "Check that SMTP_PORT is the port of a mail server; if it expects TLS from the first byte, as on port 465, set \
             SMTP_SECURITY=tls"
        }
        (_, Cause::NoStartTls) => {
            "Set SMTP_SECURITY=tls if the port expects TLS from the first byte, or SMTP_SECURITY=none for a server without \
             TLS, such as Mailpit"
        }
        (Stage::Tls, Cause::Tls(_) | Cause::Closed | Cause::Timeout) => {
            "If the port does not expect TLS from the first byte, set SMTP_SECURITY=starttls; if the certificate is not \
             trusted, name the file of its authority in SMTP_CAFILE"
        }
        (Stage::Auth, Cause::Refused(_)) => "Check SMTP_USERNAME and SMTP_PASSWORD, or the token provider",
        (_, Cause::NoMechanism) => {
            "It has to offer PLAIN or LOGIN, or XOAUTH2 with a token provider; unset SMTP_USERNAME if it needs no credentials"
        }
        (_, Cause::CleartextRefused) => "Use TLS, or allow it with SMTP_CLEARTEXT_AUTH=true",
        (_, Cause::NoToken) => "Check the token provider",
        (Stage::Mail, Cause::Refused(_) | Cause::InvalidAddress | Cause::Utf8NotOffered) => {
            "Check the sender's address (KAFKA_WORKER_FROM_ADDRESS, KAFKA_WORKER_ENVELOPE_FROM) and whether the mail server \
             requires credentials"
        }
        _ => return None,
    })
}
