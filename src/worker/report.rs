//! The engine's notices as lines for the log. Nothing in them is personal data.

use std::time::Duration;

use super::engine::attempt::{Failure, SmtpCause, Target};
use super::engine::dead_letter::dead_letter_topic;
use super::engine::identity::{PartitionId, Place};
use super::engine::notice::{Notice, StuckCause};
use super::engine::record::Record;

const DEBUG: u8 = 10;
const INFO: u8 = 20;
const WARNING: u8 = 30;
const ERROR: u8 = 40;

/// A line for the log, and its details for machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The number that Python's `logging` has for the severity.
    pub(crate) level: u8,
    /// Applications filter by this name, so it stays.
    pub(crate) event: &'static str,
    pub(crate) message: String,
    pub(crate) details: Vec<(&'static str, Detail)>,
}

/// A detail of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Number(i64),
    Text(String),
}

impl Line {
    pub(super) fn new(level: u8, event: &'static str, message: impl Into<String>) -> Self {
        Self { level, event, message: message.into(), details: Vec::new() }
    }

    pub(super) fn debug(event: &'static str, message: impl Into<String>) -> Self {
        Self::new(DEBUG, event, message)
    }

    pub(super) fn info(event: &'static str, message: impl Into<String>) -> Self {
        Self::new(INFO, event, message)
    }

    pub(super) fn warning(event: &'static str, message: impl Into<String>) -> Self {
        Self::new(WARNING, event, message)
    }

    pub(super) fn error(event: &'static str, message: impl Into<String>) -> Self {
        Self::new(ERROR, event, message)
    }

    fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, Detail::Text(value.into())));
        self
    }

    fn number(mut self, name: &'static str, value: impl TryInto<i64>) -> Self {
        self.details.push((name, Detail::Number(value.try_into().unwrap_or(i64::MAX))));
        self
    }

    fn place(self, place: &Place) -> Self {
        let line = self
            .text("topic", place.partition.topic())
            .number("partition", place.partition.number())
            .number("offset", place.offset)
            .text("event_type", &*place.event_type);
        match &place.event_id {
            Some(id) => line.text("event_id", &**id),
            None => line,
        }
    }

    fn failure(self, failure: Option<Failure>) -> Self {
        let Some(failure) = failure else { return self };
        let line = self.text("stage", failure.stage().as_str());
        match failure.reply() {
            Some(reply) => line.number("code", reply.code()),
            None => line,
        }
    }
}

/// The line about a notice; none for those that only count. `handlers` are the types that have one.
pub(super) fn line_of(notice: &Notice, handlers: &[std::sync::Arc<str>]) -> Option<Line> {
    Some(match notice {
        Notice::Attempted { .. } | Notice::Dropped(_) | Notice::Duplicate(_) => return None,
        Notice::Delivered { place, age } => {
            Line::debug("delivered", format!("delivered {} {} after it was stored", name(place), seconds(*age)))
                .place(place)
        }
        Notice::Retry { place, attempts, delay, failure } => {
            let times = if *attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
            let message = format!(
                "{} failed {times}, now{}: tried again in {}",
                name(place),
                at(Some(*failure)),
                seconds(*delay)
            );
            Line::debug("retry", message).place(place).number("attempts", *attempts).failure(Some(*failure))
        }
        Notice::HandlerFailed(place) => Line::warning(
            "handler_failed",
            format!("the handler of {} failed on {}; it is called again", place.event_type, name(place)),
        )
        .place(place),
        Notice::DeadLettered { place, reason, attempts, failure } => {
            let message = format!(
                "{} is a dead letter now, in {}: {}{}",
                name(place),
                dead_letter_topic(place.partition.topic()),
                reason.as_str(),
                at(*failure)
            );
            Line::error("dead_lettered", message)
                .place(place)
                .text("reason", reason.as_str())
                .number("attempts", *attempts)
                .failure(*failure)
        }
        Notice::DeadLetterFailed { place, error } => {
            let message = format!("the dead letter of {} was not stored ({error}); it is produced again", name(place));
            Line::warning("dead_letter_failed", message).place(place).text("kafka_code", *error)
        }
        Notice::Unavailable { target, failure } => {
            let message = format!("{} fails{}: records wait until it recovers", whose(*target, handlers), at(*failure));
            Line::error("smtp_unavailable", message).text("target", whose(*target, handlers)).failure(*failure)
        }
        Notice::Recovered { target, after } => {
            let message = format!("{} has recovered after {}", whose(*target, handlers), seconds(*after));
            Line::info("smtp_recovered", message).text("target", whose(*target, handlers))
        }
        Notice::RefusalsHigh { target, is_on } => {
            let target = whose(*target, handlers);
            let message = if *is_on {
                format!("{target} refuses more than half of all mails for good: nothing is given up meanwhile, for at most an hour")
            } else {
                format!("{target}: records that it refuses for good are given up again")
            };
            Line::error("refusals_high", message).text("target", target)
        }
        Notice::CommitFailed(error) => {
            Line::warning("commit_failed", format!("Kafka did not take a commit ({error}); it is tried again"))
                .text("kafka_code", *error)
        }
        Notice::Stuck { partition, cause } => {
            let why = match cause {
                StuckCause::NoProgress => "has unread records and made no progress for a minute",
                StuckCause::Overdue => "has a record at work that exceeded all its deadlines",
            };
            Line::error("stuck", format!("{partition} {why}")).text("partition", partition.to_string())
        }
        Notice::PartitionsAssigned(partitions) => {
            partitions_line(Line::info, "partitions_assigned", "assigned", partitions)
        }
        Notice::PartitionsReleased(partitions) => {
            partitions_line(Line::info, "partitions_released", "released", partitions)
        }
        Notice::PartitionsLost(partitions) => partitions_line(Line::warning, "partitions_lost", "lost", partitions),
        Notice::DoneSetUnread(partition) => {
            let message = format!(
                "the records of {partition} that are done could not be read back: those after the committed offset may be sent again"
            );
            Line::warning("done_set_unread", message).text("partition", partition.to_string())
        }
        Notice::DrainIncomplete(count) => {
            Line::warning("drain_incomplete", format!("{count} records were cut off: the next worker gets them again"))
                .number("abandoned", *count)
        }
    })
}

/// The line about a record that cannot become a mail; its dead letter follows.
pub(super) fn unfit_line(record: &Record, failure: Failure, why: &str) -> Line {
    let place = record.place();
    Line::warning("preparation_failed", format!("{} cannot become a mail: {why}", name(&place)))
        .place(&place)
        .failure(Some(failure))
}

fn partitions_line(
    line: fn(&'static str, String) -> Line,
    event: &'static str,
    verb: &str,
    partitions: &[PartitionId],
) -> Line {
    let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    line(event, format!("{verb}: {}", names.join(", "))).text("partitions", names.join(","))
}

fn name(place: &Place) -> String {
    let Place { partition, offset, event_id, .. } = place;
    match event_id {
        Some(id) => format!("event {id} ({partition} offset {offset})"),
        None => format!("the record at {partition} offset {offset}"),
    }
}

fn whose(target: Target, handlers: &[std::sync::Arc<str>]) -> String {
    match target {
        Target::Smtp => "the mail server".to_owned(),
        Target::Handler(number) => match handlers.get(number) {
            Some(email_type) => format!("the handler of {email_type}"),
            None => "a handler".to_owned(),
        },
    }
}

fn at(failure: Option<Failure>) -> String {
    let Some(failure) = failure else { return String::new() };
    let stage = failure.stage().as_str();
    match (failure, failure.reply()) {
        (_, Some(reply)) => format!(" ({} at stage {stage})", reply.code()),
        (Failure::Smtp { cause, .. }, None) => format!(" ({} at stage {stage})", why(cause)),
        _ => format!(" (at stage {stage})"),
    }
}

/// What happened where no reply tells; "it" is the mail server.
fn why(cause: SmtpCause) -> &'static str {
    match cause {
        SmtpCause::Refused(_) | SmtpCause::OutOfPlace(_) => "a reply",
        SmtpCause::Timeout => "no answer in time",
        SmtpCause::Closed => "no connection",
        SmtpCause::Malformed => "no SMTP reply",
        SmtpCause::Tls => "no TLS, or a certificate that is not trusted,",
        SmtpCause::NoStartTls => "no STARTTLS offered",
        SmtpCause::NoMechanism => "no mechanism offered that fits the credentials",
        SmtpCause::CleartextRefused => "no encryption for the credentials",
        SmtpCause::NoToken => "no token",
        SmtpCause::TooLarge => "a mail larger than it accepts",
        SmtpCause::Utf8NotOffered => "an address that is not ASCII, and no SMTPUTF8 offered,",
        SmtpCause::InvalidAddress => "an address that SMTP does not allow",
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
