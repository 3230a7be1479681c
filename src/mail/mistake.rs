//! What is wrong with a template. None of this holds a value.

use std::error::Error as _;
use std::fmt;

use minijinja::{Error, ErrorKind};

/// Something in a template that its author has to correct.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The file, by its name in its folder.
    pub file: String,
    /// The line in it, counted from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Why a mail could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The kind of the error, such as `undefined value`.
    pub kind: String,
    /// The file, by its name in its folder; empty where no template is to blame.
    pub file: String,
    /// The line in it, counted from 1.
    pub line: Option<usize>,
    /// The name that the template prints and the event does not have, if this is the error.
    pub name: Option<String>,
}

impl Mistake {
    pub(super) fn new(file: &str, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }

    /// What the engine says about a template itself. Its text holds no value: there was none yet, or a sample.
    pub(super) fn from_engine(file: &str, error: &Error) -> Self {
        let cause = cause(error);
        let message = match cause.detail() {
            Some(detail) => format!("{}: {detail}", cause.kind()),
            None => cause.kind().to_string(),
        };
        Self::new(cause.name().unwrap_or(file), cause.line(), message)
    }
}

impl TemplateError {
    pub(super) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), file: String::new(), line: None, name: None }
    }

    /// What the engine says about a rendering. Its detail may quote values, so only its kind is kept.
    pub(super) fn from_engine(error: &Error) -> Self {
        let cause = cause(error);
        let missing = missing_name(cause);
        let kind = if missing.is_some() { ErrorKind::UndefinedError } else { cause.kind() };
        Self {
            kind: kind.to_string(),
            file: cause.name().unwrap_or_default().to_owned(),
            line: cause.line(),
            name: missing,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        match self.line {
            Some(line) => write!(f, " in {}:{line}", self.file),
            None if self.file.is_empty() => Ok(()),
            None => write!(f, " in {}", self.file),
        }
    }
}

impl std::error::Error for TemplateError {}

/// The innermost error of the engine that has a place: the outer ones only say which file included which.
fn cause(error: &Error) -> &Error {
    let mut cause = error;
    while let Some(inner) = cause.source().and_then(|source| source.downcast_ref::<Error>()) {
        if inner.name().is_none() {
            break;
        }
        cause = inner;
    }
    cause
}

/// Whether an error is one with any values.
pub(super) fn is_about_the_template(error: &Error) -> bool {
    matches!(
        cause(error).kind(),
        ErrorKind::SyntaxError
            | ErrorKind::TemplateNotFound
            | ErrorKind::UnknownBlock
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownTest
            | ErrorKind::TooManyArguments
            | ErrorKind::MissingArgument
    )
}

/// The file that an error is about.
pub(super) fn file(error: &Error) -> &str {
    cause(error).name().unwrap_or_default()
}

/// The expression of the template that has no value, from a text such as "`order.id` is undefined".
fn missing_name(cause: &Error) -> Option<String> {
    let kinds = [ErrorKind::UndefinedError, ErrorKind::UnknownMethod, ErrorKind::InvalidOperation];
    if !kinds.contains(&cause.kind()) {
        return None;
    }
    let (before, _) = cause.detail()?.rsplit_once("` is undefined")?;
    before.rsplit_once('`').map(|(_, name)| name.to_owned())
}
