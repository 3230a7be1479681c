//! Dead letters: records that the worker gives up, with the reason in their headers.

use std::sync::Arc;

use super::identity::RecordId;
use super::life::Life;
use super::reason::Reason;
use super::record::{Header, Record};

/// What the names of the headers begin with that a dead letter gets.
const PREFIX: &str = "dlt-";
const REPLAYS: &str = "dlt-replays";
/// `dlt-stage` of a record that was given up before any attempt failed.
const NOT_STARTED: &str = "ready";

/// A dead letter, to be produced with the key and the value of its record.
#[derive(Clone)]
pub struct DeadLetter {
    /// `<topic>-dlt`.
    pub topic: String,
    /// For key and value.
    pub record: Arc<Record>,
    /// All headers, in order: those of the record, then those that begin with `dlt-`.
    pub headers: Vec<Header>,
}

/// The dead letter of a record.
pub fn dead_letter(life: &Life, reason: Reason, group_id: &str, unix_ms: i64) -> DeadLetter {
    let record = life.record();
    let partition = record.partition();
    let RecordId { offset, .. } = record.id();
    let failure = life.last_failure();
    let reply = failure.and_then(|failure| failure.reply());
    let replays = record.header(REPLAYS).map_or_else(|| b"0".to_vec(), <[u8]>::to_vec);
    let mut headers: Vec<Header> = record.headers().iter().filter(|(name, _)| name != REPLAYS).cloned().collect();
    let mut add = |name: &str, value: String| headers.push((format!("{PREFIX}{name}"), Some(value.into_bytes())));
    add("topic", partition.topic().into());
    add("partition", partition.number().to_string());
    add("offset", offset.to_string());
    add("timestamp", record.timestamp_ms().to_string());
    add("group", group_id.into());
    add("reason", reason.as_str().into());
    add("stage", failure.map_or(NOT_STARTED, |failure| failure.stage().as_str()).into());
    if let Some(reply) = reply {
        add("code", reply.code().to_string());
        if let Some((class, subject, detail)) = reply.enhanced() {
            add("enhanced-code", format!("{class}.{subject}.{detail}"));
        }
    }
    add("attempts", life.attempts().to_string());
    add("first-failed-at", life.first_failed_ms().unwrap_or(unix_ms).to_string());
    add("failed-at", unix_ms.to_string());
    headers.push((REPLAYS.into(), Some(replays)));
    DeadLetter { topic: dead_letter_topic(partition.topic()), record: Arc::clone(record), headers }
}

/// Where the dead letters of a topic go.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}-dlt")
}

/// Where a dead letter is to be produced again, and with which headers; None if it does not say.
pub fn replay(headers: &[Header]) -> Option<(String, Vec<Header>)> {
    let text = |name: &str| {
        let value = headers.iter().rev().find(|(found, _)| found == name).and_then(|(_, value)| value.as_deref());
        value.and_then(|value| std::str::from_utf8(value).ok())
    };
    let topic = text("dlt-topic")?.to_owned();
    let replays = text(REPLAYS).and_then(|count| count.parse().ok()).unwrap_or(0_u32).saturating_add(1);
    let mut kept: Vec<Header> = headers.iter().filter(|(name, _)| !name.starts_with(PREFIX)).cloned().collect();
    kept.push((REPLAYS.into(), Some(replays.to_string().into_bytes())));
    Some((topic, kept))
}
