//! What a template may print.

use minijinja::Value;
use serde_json::{Map, Number};

use super::date;

/// The names that every mail has, besides its metadata.
pub(super) const FIELDS: [&str; 7] =
    ["recipient", "username", "link", "verification_link", "reset_link", "year", "datetime"];

/// The values of one mail. No `Debug`: it is personal data, and the link may be a secret.
///
/// Templates see them as `recipient`, `username`, `link` (also as `verification_link` and `reset_link`), `metadata`,
/// each key of the metadata, `year`, and `datetime` (UTC, such as `2026-11-23 16:38:13`). These names win over a key of
/// the metadata that is called the same.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// Which mail.
    pub email_type: &'a str,
    /// Address of the recipient.
    pub recipient: &'a str,
    /// Name to greet; may be empty.
    pub username: &'a str,
    /// Link to show; may be empty.
    pub link: &'a str,
    /// Anything else.
    pub metadata: &'a Map<String, serde_json::Value>,
    /// The moment for `year` and `datetime`: seconds since the Unix epoch.
    pub now: i64,
}

impl Values<'_> {
    /// The language that the event asks for.
    pub(super) fn language(&self) -> Option<&str> {
        self.metadata.get("language").and_then(serde_json::Value::as_str)
    }

    /// The link by which recipients leave a list.
    pub fn list_unsubscribe(&self) -> Option<&str> {
        self.metadata.get("list_unsubscribe").and_then(serde_json::Value::as_str)
    }

    /// The names that a template sees.
    pub(super) fn context(&self) -> Value {
        let (year, datetime) = date::year_and_text(self.now);
        let link = Value::from(self.link);
        let fields = [
            ("recipient", Value::from(self.recipient)),
            ("username", Value::from(self.username)),
            ("link", link.clone()),
            ("verification_link", link.clone()),
            ("reset_link", link),
            ("metadata", map(self.metadata)),
            ("year", Value::from(year)),
            ("datetime", Value::from(datetime)),
        ];
        let keys = self.metadata.iter().map(|(key, value)| (key.as_str(), convert(value)));
        Value::from_pairs(keys.chain(fields))
    }
}

fn convert(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(value) => number(value),
        serde_json::Value::String(value) => Value::from(value.as_str()),
        serde_json::Value::Array(values) => Value::from(values.iter().map(convert).collect::<Vec<_>>()),
        serde_json::Value::Object(values) => map(values),
    }
}

fn map(values: &Map<String, serde_json::Value>) -> Value {
    Value::from_pairs(values.iter().map(|(key, value)| (key.as_str(), convert(value))))
}

/// Python reads a number without point and exponent as an integer, whatever its size.
fn number(number: &Number) -> Value {
    if let Some(value) = number.as_i64() {
        return Value::from(value);
    }
    let text = number.to_string();
    if text.contains(['.', 'e', 'E']) {
        return Value::from(number.as_f64().unwrap_or(f64::INFINITY));
    }
    // An integer of more than 38 digits can be printed, but not calculated with.
    text.parse::<i128>().map_or_else(|_| Value::from(text), Value::from)
}
