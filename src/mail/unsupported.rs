//! What templates for Jinja2 may use and this engine cannot do.

use minijinja::Environment;

use super::mistake::Mistake;
use super::scan::{Kind, Tag, Token};

const REMEDY: &str = "remove it, or render this mail in a handler with Jinja2";

/// Each unsupported use in a file.
pub(super) fn uses(file: &str, tags: &[Tag<'_>], environment: &Environment<'_>) -> Vec<Mistake> {
    let own = own_names(tags);
    let mut mistakes = Vec::new();
    for tag in tags {
        if let (Some("trans"), Some(first)) = (tag.keyword(), tag.tokens.first()) {
            mistakes.push(mistake(file, first.line, "`{% trans %}`"));
        }
        for (index, token) in tag.tokens.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| tag.tokens.get(index)).map(|token| token.kind);
            let after = tag.tokens.get(index + 1).map(|token| token.kind);
            if let Some(what) = unsupported(before, token, after, &own) {
                mistakes.push(mistake(file, token.line, what));
            } else if let Some(filter) = filter(index, token, before, tag) {
                if filter == "urlize" {
                    mistakes.push(mistake(file, token.line, "the filter `urlize`"));
                } else if !is_filter(environment, filter) {
                    mistakes.push(mistake(file, token.line, &format!("the filter `{filter}`")));
                }
            }
        }
    }
    mistakes
}

fn mistake(file: &str, line: usize, what: &str) -> Mistake {
    Mistake::new(file, Some(line), format!("{what} is not supported: {REMEDY}"))
}

fn unsupported(
    before: Option<Kind<'_>>,
    token: &Token<'_>,
    after: Option<Kind<'_>>,
    own: &[&str],
) -> Option<&'static str> {
    match (token.kind, after?) {
        (Kind::Text(_), Kind::Sign('%')) => Some("`'…' % …`"),
        (Kind::Name(name), Kind::Sign('(')) if !own.contains(&name) && before != Some(Kind::Sign('.')) => match name {
            "_" => Some("`_()`"),
            "gettext" => Some("`gettext()`"),
            "ngettext" => Some("`ngettext()`"),
            "url_for" => Some("`url_for()`"),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a filter that is applied here.
fn filter<'a>(index: usize, token: &Token<'a>, before: Option<Kind<'a>>, tag: &Tag<'a>) -> Option<&'a str> {
    match token.kind {
        Kind::Name(name) if before == Some(Kind::Sign('|')) => Some(name),
        Kind::Name(name) if index == 1 && tag.keyword() == Some("filter") => Some(name),
        _ => None,
    }
}

fn is_filter(environment: &Environment<'_>, name: &str) -> bool {
    environment.empty_state().perform_test("filter", &[name.into()]).unwrap_or(false)
}

/// Names that the file gives to things of its own, such as macros.
fn own_names<'a>(tags: &[Tag<'a>]) -> Vec<&'a str> {
    let gives = |tag: &&Tag<'_>| matches!(tag.keyword(), Some("macro" | "import" | "from" | "set" | "with"));
    let name = |token: &Token<'a>| match token.kind {
        Kind::Name(name) => Some(name),
        Kind::Text(_) | Kind::Sign(_) => None,
    };
    // A macro that is called `_` also has arguments; only what a tag names first counts there.
    tags.iter()
        .filter(gives)
        .flat_map(|tag| {
            let count = if tag.keyword() == Some("from") { usize::MAX } else { 1 };
            tag.tokens.iter().skip(1).filter_map(name).filter(|name| *name != "as").take(count)
        })
        .collect()
}
