//! One line of a client.

/// A verb, and what follows it.
pub(super) struct Command<'a> {
    /// In capitals.
    pub(super) verb: String,
    pub(super) arguments: &'a str,
}

/// A path in angle brackets, and the parameters behind it.
pub(super) struct Path<'a> {
    pub(super) address: &'a str,
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// `KEYWORD=value`, or a keyword alone.
pub(super) struct Parameter<'a> {
    /// In capitals.
    pub(super) keyword: String,
    pub(super) value: &'a str,
}

impl<'a> Command<'a> {
    /// Splits a line, without its end.
    pub(super) fn parse(line: &'a str) -> Self {
        let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
        Self { verb: verb.to_ascii_uppercase(), arguments: arguments.trim() }
    }
}

impl<'a> Path<'a> {
    /// Parses `FROM:<address> parameters`, where `word` is `FROM:` or `TO:`.
    pub(super) fn parse(arguments: &'a str, word: &str) -> Option<Self> {
        let (found, rest) = arguments.split_at_checked(word.len())?;
        let path = rest.trim_start().strip_prefix('<').filter(|_| found.eq_ignore_ascii_case(word))?;
        let (address, rest) = path.split_at_checked(end_of(path)?)?;
        let parameters = rest.strip_prefix('>')?.split_ascii_whitespace().map(|parameter| {
            let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            Parameter { keyword: keyword.to_ascii_uppercase(), value }
        });
        Some(Self { address, parameters: parameters.collect() })
    }
}

/// Where the bracket is that closes the path, and is not quoted.
fn end_of(path: &str) -> Option<usize> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    path.bytes().position(|byte| {
        let is_plain = !std::mem::take(&mut is_escaped);
        match byte {
            b'"' if is_plain => is_quoted = !is_quoted,
            b'\\' if is_plain && is_quoted => is_escaped = true,
            _ => {}
        }
        byte == b'>' && !is_quoted
    })
}
