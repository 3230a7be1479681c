//! HTML as markupsafe escapes it. The engine's own escaping also turns each `/` of a link into `&#x2f;`.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, Output, State, Value};

use super::printed;

/// Writes a printed value: Python's text of it, escaped in HTML unless it is marked as safe.
pub(super) fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    // The missing `else` of an inline `if`; what else is undefined is refused before.
    if value.is_undefined() {
        return Ok(());
    }
    if value.is_safe() || *state.auto_escape() == AutoEscape::None {
        return Ok(printed::write_str(out, value)?);
    }
    match (value.as_str(), value.kind()) {
        (Some(text), _) => write_escaped(out, text)?,
        (None, ValueKind::Number | ValueKind::Bool | ValueKind::None) => printed::write_str(out, value)?,
        (None, _) => write_escaped(out, &printed::text(value))?,
    }
    Ok(())
}

/// The value as escaped and safe HTML.
pub(super) fn markup(value: &Value) -> Value {
    if value.is_safe() {
        return value.clone();
    }
    let mut escaped = String::new();
    // A string takes any text.
    let _ = write_escaped(&mut escaped, &printed::text(value));
    Value::from_safe_string(escaped)
}

fn write_escaped(out: &mut dyn std::fmt::Write, text: &str) -> std::fmt::Result {
    let mut rest = text;
    while let Some(position) = rest.bytes().position(|byte| entity(byte).is_some()) {
        // What is escaped is ASCII, so both cuts are between characters.
        let (clean, special) = rest.split_at(position);
        out.write_str(clean)?;
        out.write_str(special.bytes().next().and_then(entity).unwrap_or_default())?;
        rest = special.get(1..).unwrap_or_default();
    }
    out.write_str(rest)
}

fn entity(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&#34;"),
        b'\'' => Some("&#39;"),
        _ => None,
    }
}
