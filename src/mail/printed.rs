//! Values as Python prints them.

use std::fmt::{self, Write};

use minijinja::value::ValueKind;
use minijinja::Value;

/// The text of a value: what `str(value)` is in Python.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    // A string takes any text.
    let _ = write_str(&mut out, value);
    out
}

/// Writes what `str(value)` is in Python.
pub(super) fn write_str(out: &mut dyn Write, value: &Value) -> fmt::Result {
    match value.as_str() {
        Some(text) => out.write_str(text),
        None => write_repr(out, value),
    }
}

/// Writes what `repr(value)` is in Python.
fn write_repr(out: &mut dyn Write, value: &Value) -> fmt::Result {
    match value.kind() {
        ValueKind::String if value.is_safe() => {
            out.write_str("Markup(")?;
            write_quoted(out, value.as_str().unwrap_or_default())?;
            out.write_str(")")
        }
        ValueKind::String => write_quoted(out, value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => write_float(out, number),
            Err(_) => write!(out, "{value}"),
        },
        ValueKind::Seq if value.is_tuple() => {
            let single = value.len() == Some(1);
            write_items(out, value, "(", if single { ",)" } else { ")" })
        }
        ValueKind::Seq => write_items(out, value, "[", "]"),
        ValueKind::Map => write_map(out, value),
        _ => write!(out, "{value}"),
    }
}

fn write_items(out: &mut dyn Write, values: &Value, open: &str, close: &str) -> fmt::Result {
    out.write_str(open)?;
    for (index, item) in values.try_iter().into_iter().flatten().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        write_repr(out, &item)?;
    }
    out.write_str(close)
}

fn write_map(out: &mut dyn Write, map: &Value) -> fmt::Result {
    out.write_str("{")?;
    for (index, key) in map.try_iter().into_iter().flatten().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        write_repr(out, &key)?;
        out.write_str(": ")?;
        write_repr(out, &map.get_item(&key).unwrap_or_default())?;
    }
    out.write_str("}")
}

/// The shortest text that reads back as the number; with an exponent from 1e16 on and below 1e-4.
pub(super) fn write_float(out: &mut dyn Write, number: f64) -> fmt::Result {
    if number.is_nan() {
        return out.write_str("nan");
    }
    if number.is_infinite() {
        return out.write_str(if number > 0.0 { "inf" } else { "-inf" });
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        return write!(out, "{number:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
}

fn write_quoted(out: &mut dyn Write, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            _ if character == quote => write!(out, "\\{quote}")?,
            _ if is_printable(character) => out.write_char(character)?,
            _ => write_code(out, u32::from(character))?,
        }
    }
    out.write_char(quote)
}

fn write_code(out: &mut dyn Write, code: u32) -> fmt::Result {
    match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    }
}

/// As Python's `str.isprintable`: Rust's standard library prints the same characters in its debug form.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // Behind another character, because a combining one is escaped when it comes first.
    let mut pair = String::from("a");
    pair.push(character);
    pair.escape_debug().nth(1) == Some(character)
}

#[cfg(test)]
mod tests {
    use minijinja::Value;

    use super::text;

    /// What `repr` of Python 3.11 said.
    #[test]
    fn prints_as_python_does() {
        for (number, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1e300, "1e+300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(text(&Value::from(number)), expected);
        }
        let list = Value::from(vec![
            Value::from("it's"),
            Value::from("\"it's\""),
            Value::from("a\u{0}\u{a0}\u{200b}é\u{e000}"),
            Value::from(()),
            Value::from(true),
            Value::from_safe_string("<b>".to_owned()),
            Value::from_pairs([("b", Value::from(1)), ("a", Value::from(2.5))]),
        ]);
        assert_eq!(
            text(&list),
            r#"["it's", '"it\'s"', 'a\x00\xa0\u200bé\ue000', None, True, Markup('<b>'), {'b': 1, 'a': 2.5}]"#
        );
    }
}
