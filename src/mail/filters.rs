//! Filters that the engine lacks, or that print otherwise than those of Jinja2.

use std::fmt::Write;

use minijinja::value::{from_args, Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::filters::filesizeformat;
use minijinja_contrib::globals::{cycler, joiner};

use super::escape::markup;
use super::printed;
use crate::email::json::write_string;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("forceescape", forceescape);
    environment.add_filter("safe", safe);
    environment.add_filter("string", string);
    environment.add_filter("tojson", tojson);
    environment.add_filter("truncate", truncate);
    environment.add_filter("center", center);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("filesizeformat", filesizeformat);
    environment.add_function("cycler", cycler);
    environment.add_function("joiner", joiner);
}

/// Fails for a missing value as printing it does, with its name.
fn present(state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        state.format(value.clone())?;
    }
    Ok(())
}

fn escape(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    present(state, value)?;
    Ok(markup(value))
}

fn forceescape(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    present(state, value)?;
    Ok(markup(&Value::from(printed::text(value))))
}

fn safe(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    present(state, value)?;
    Ok(Value::from_safe_string(printed::text(value)))
}

fn string(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    present(state, value)?;
    Ok(if value.kind() == ValueKind::String { value.clone() } else { Value::from(printed::text(value)) })
}

type TruncateArguments = (Option<usize>, Option<bool>, Option<String>, Option<usize>, Kwargs);

fn truncate(state: &mut State<'_, '_>, value: &Value, arguments: &[Value]) -> Result<String, Error> {
    present(state, value)?;
    let (length, killwords, end, leeway, options): TruncateArguments = from_args(arguments)?;
    let length = length.or(options.get("length")?).unwrap_or(255);
    let killwords = killwords.or(options.get("killwords")?).unwrap_or(false);
    let end = end.or(options.get("end")?).unwrap_or_else(|| "...".to_owned());
    let leeway = leeway.or(options.get("leeway")?).unwrap_or(5);
    options.assert_all_used()?;
    let text = printed::text(value);
    if text.chars().count() <= length + leeway {
        return Ok(text);
    }
    let kept = text.chars().take(length.saturating_sub(end.chars().count())).collect::<String>();
    let kept = if killwords { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(format!("{kept}{end}"))
}

fn center(text: &str, width: Option<usize>) -> String {
    let width = width.unwrap_or(80);
    let padding = width.saturating_sub(text.chars().count());
    // Python puts the odd space to the left where the width is odd.
    let left = padding / 2 + (padding & width & 1);
    format!("{:left$}{text}{:right$}", "", "", right = padding - left)
}

fn wordcount(text: &str) -> usize {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    text.split(|character| !is_word(character)).filter(|word| !word.is_empty()).count()
}

/// JSON as `json.dumps(value, sort_keys=True)` writes it, safe inside of HTML.
fn tojson(state: &mut State<'_, '_>, value: &Value, indent: Option<usize>) -> Result<Value, Error> {
    present(state, value)?;
    let mut json = String::new();
    write_json(&mut json, value, &Layout { indent, depth: 0 })?;
    for (character, escaped) in [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")] {
        json = json.replace(character, escaped);
    }
    Ok(Value::from_safe_string(json))
}

struct Layout {
    indent: Option<usize>,
    depth: usize,
}

impl Layout {
    fn deeper(&self) -> Self {
        Self { indent: self.indent, depth: self.depth + 1 }
    }

    fn next_line(&self, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * self.depth));
        }
    }

    fn comma(&self, out: &mut String) {
        out.push_str(if self.indent.is_some() { "," } else { ", " });
    }
}

fn write_json(out: &mut String, value: &Value, layout: &Layout) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&printed::text(value)),
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq => {
            let items = value.try_iter()?.collect::<Vec<_>>();
            write_all(out, layout, "[]", &items, write_json)?;
        }
        ValueKind::Map => {
            let mut keys = value.try_iter()?.collect::<Vec<_>>();
            keys.sort();
            write_all(out, layout, "{}", &keys, |out, key, layout| {
                write_text(out, &printed::text(key));
                out.push_str(": ");
                write_json(out, &value.get_item(key)?, layout)
            })?;
        }
        _ => return Err(Error::from(ErrorKind::BadSerialization)),
    }
    Ok(())
}

fn write_all(
    out: &mut String,
    layout: &Layout,
    brackets: &str,
    items: &[Value],
    write: impl Fn(&mut String, &Value, &Layout) -> Result<(), Error>,
) -> Result<(), Error> {
    let (open, close) = brackets.split_at(1);
    let inner = layout.deeper();
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            layout.comma(out);
        }
        inner.next_line(out);
        write(out, item, &inner)?;
    }
    if !items.is_empty() {
        layout.next_line(out);
    }
    out.push_str(close);
    Ok(())
}

fn write_text(out: &mut String, text: &str) {
    let mut json = Vec::with_capacity(text.len() + 2);
    write_string(&mut json, text);
    // A vector of ASCII.
    let _ = write!(out, "{}", String::from_utf8_lossy(&json));
}
