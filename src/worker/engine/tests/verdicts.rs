//! Every result has a verdict.

use crate::smtp::{Reply, Stage};
use crate::worker::engine::attempt::{Failure, SmtpCause};
use crate::worker::engine::verdict::{judge, Verdict};

fn replies() -> Vec<Reply> {
    (200..=599).map(|code| Reply::new(code, None)).collect()
}

fn causes() -> Vec<SmtpCause> {
    let mut causes = vec![
        SmtpCause::Timeout,
        SmtpCause::Closed,
        SmtpCause::Malformed,
        SmtpCause::Tls,
        SmtpCause::NoStartTls,
        SmtpCause::NoMechanism,
        SmtpCause::CleartextRefused,
        SmtpCause::NoToken,
        SmtpCause::TooLarge,
        SmtpCause::Utf8NotOffered,
        SmtpCause::InvalidAddress,
    ];
    causes.extend(replies().into_iter().flat_map(|reply| [SmtpCause::Refused(reply), SmtpCause::OutOfPlace(reply)]));
    causes
}

/// The table of the specification, row by row, for the results that a dialogue can have.
fn by_the_table(stage: Stage, cause: SmtpCause, is_after_terminator: bool) -> Verdict {
    use Stage::{Auth, Connect, Dot, Ehlo, Greeting, Mail, Rcpt, StartTls, Tls};
    let code = match cause {
        SmtpCause::Refused(reply) | SmtpCause::OutOfPlace(reply) => Some(reply.code()),
        _ => None,
    };
    if matches!(stage, Connect | Tls | Greeting | Ehlo | StartTls | Auth) || matches!(code, Some(530 | 535)) {
        return Verdict::ServerWide;
    }
    match cause {
        SmtpCause::Refused(reply) if reply.code() == 552 && stage == Mail => Verdict::Permanent,
        SmtpCause::Refused(_) | SmtpCause::Utf8NotOffered | SmtpCause::InvalidAddress if stage == Mail => {
            Verdict::ServerWide
        }
        SmtpCause::Refused(reply) if reply.code() == 552 && stage == Rcpt => Verdict::Transient,
        SmtpCause::Refused(reply) if reply.code() >= 500 => Verdict::Permanent,
        SmtpCause::Refused(_) => Verdict::Transient,
        SmtpCause::TooLarge | SmtpCause::Utf8NotOffered | SmtpCause::InvalidAddress => Verdict::Permanent,
        SmtpCause::OutOfPlace(_) | SmtpCause::Timeout | SmtpCause::Closed | SmtpCause::Malformed => {
            if is_after_terminator && stage == Dot {
                Verdict::Unknown
            } else {
                Verdict::Transient
            }
        }
        SmtpCause::Tls
        | SmtpCause::NoStartTls
        | SmtpCause::NoMechanism
        | SmtpCause::CleartextRefused
        | SmtpCause::NoToken => Verdict::ServerWide,
    }
}

#[test]
fn the_verdict_on_every_dialogue_is_that_of_the_table() {
    for stage in Stage::ALL {
        for cause in causes() {
            // Only the wait for the reply to the dot comes after the terminator.
            for is_after_terminator in [false, stage == Stage::Dot] {
                let found = judge(&Failure::Smtp { stage, cause, is_after_terminator });
                assert_eq!(found, by_the_table(stage, cause, is_after_terminator), "{stage:?} {cause:?}");
            }
        }
    }
}

#[test]
fn preparation_and_handlers_have_verdicts_too() {
    for (failure, verdict) in [
        (Failure::Undecodable, Verdict::Permanent),
        (Failure::NotRendered, Verdict::Permanent),
        (Failure::NotBuilt, Verdict::Permanent),
        (Failure::PreparationPanicked, Verdict::Permanent),
        (Failure::HandlerPermanent, Verdict::Permanent),
        (Failure::HandlerRetry(None), Verdict::Transient),
        (Failure::HandlerFailed, Verdict::Transient),
        (Failure::HandlerTimeout, Verdict::Transient),
        (Failure::Crashed { is_after_terminator: false }, Verdict::Transient),
        (Failure::Crashed { is_after_terminator: true }, Verdict::Unknown),
    ] {
        assert_eq!(judge(&failure), verdict, "{failure:?}");
    }
}
