//! The verdict on every possible result of an attempt, by stage and reply code, never by a text.

use super::attempt::{Failure, SmtpCause};
use crate::smtp::{Reply, Stage};

/// The classification of an attempt's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The mail is out.
    Delivered,
    /// The record will never be delivered.
    Permanent,
    /// The record may be delivered later.
    Transient,
    /// The server may have taken the mail.
    Unknown,
    /// The failure concerns the mail server or its configuration, not the record.
    ServerWide,
}

/// The verdict on a failure.
pub fn judge(failure: &Failure) -> Verdict {
    match failure {
        Failure::Undecodable
        | Failure::NotRendered
        | Failure::NotBuilt
        | Failure::PreparationPanicked
        | Failure::HandlerPermanent => Verdict::Permanent,
        Failure::HandlerRetry(_) | Failure::HandlerFailed | Failure::HandlerTimeout => Verdict::Transient,
        Failure::Crashed { is_after_terminator } => interrupted(*is_after_terminator),
        Failure::Smtp { stage, cause, is_after_terminator } => judge_dialogue(*stage, *cause, *is_after_terminator),
    }
}

/// The server's answer did not come, or says nothing.
fn interrupted(is_after_terminator: bool) -> Verdict {
    if is_after_terminator {
        Verdict::Unknown
    } else {
        Verdict::Transient
    }
}

fn judge_dialogue(stage: Stage, cause: SmtpCause, is_after_terminator: bool) -> Verdict {
    match stage {
        Stage::Connect | Stage::Tls | Stage::Greeting | Stage::Ehlo | Stage::StartTls | Stage::Auth => {
            Verdict::ServerWide
        }
        Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Dot => match cause {
            SmtpCause::Refused(reply) => judge_refusal(stage, reply),
            SmtpCause::OutOfPlace(reply) if is_credentials(reply) => Verdict::ServerWide,
            SmtpCause::OutOfPlace(_) | SmtpCause::Timeout | SmtpCause::Closed | SmtpCause::Malformed => {
                interrupted(is_after_terminator)
            }
            // The sender's address, as in a refusal of MAIL.
            SmtpCause::Utf8NotOffered | SmtpCause::InvalidAddress if stage == Stage::Mail => Verdict::ServerWide,
            SmtpCause::TooLarge | SmtpCause::Utf8NotOffered | SmtpCause::InvalidAddress => Verdict::Permanent,
            SmtpCause::Tls
            | SmtpCause::NoStartTls
            | SmtpCause::NoMechanism
            | SmtpCause::CleartextRefused
            | SmtpCause::NoToken => Verdict::ServerWide,
        },
    }
}

fn judge_refusal(stage: Stage, reply: Reply) -> Verdict {
    match (stage, reply.code()) {
        (Stage::Mail, 552) => Verdict::Permanent,
        // The sender address is the worker's own, the same for all mails.
        (Stage::Mail, _) => Verdict::ServerWide,
        _ if is_credentials(reply) => Verdict::ServerWide,
        (Stage::Rcpt, 552) => Verdict::Transient,
        (_, 500..=599) => Verdict::Permanent,
        _ => Verdict::Transient,
    }
}

/// Authentication is required, or the credentials are wrong.
pub(super) fn is_credentials(reply: Reply) -> bool {
    matches!(reply.code(), 530 | 535)
}
