//! The tags of a template, cut into tokens: enough to see what a template refers to, not to run it.

/// A `{{ … }}` or a `{% … %}`.
pub(super) struct Tag<'a> {
    pub(super) is_block: bool,
    pub(super) tokens: Vec<Token<'a>>,
}

pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// Counted from 1.
    pub(super) line: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Name(&'a str),
    Text(&'a str),
    Sign(char),
}

impl<'a> Tag<'a> {
    /// The word that a block begins with, such as `include`.
    pub(super) fn keyword(&self) -> Option<&'a str> {
        match self.tokens.first() {
            Some(Token { kind: Kind::Name(name), .. }) if self.is_block => Some(name),
            _ => None,
        }
    }
}

/// All tags, without those in comments and in `{% raw %}`.
pub(super) fn tags(source: &str) -> Vec<Tag<'_>> {
    let mut scanner = Scanner { rest: source, line: 1 };
    let mut tags = Vec::new();
    while scanner.skip_to("{") {
        if scanner.take("{#") {
            scanner.skip_to("#}");
        } else if scanner.take("{{") {
            tags.push(Tag { is_block: false, tokens: scanner.tokens("}}") });
        } else if scanner.take("{%") {
            let tag = Tag { is_block: true, tokens: scanner.tokens("%}") };
            if tag.keyword() == Some("raw") {
                scanner.skip_raw();
            }
            tags.push(tag);
        } else {
            scanner.advance(1);
        }
    }
    tags
}

/// The files that a template extends, includes or imports by a literal name.
pub(super) fn references<'a>(tags: &[Tag<'a>]) -> Vec<&'a str> {
    let refers = |tag: &&Tag<'_>| matches!(tag.keyword(), Some("extends" | "include" | "import" | "from"));
    let text = |token: &Token<'a>| match token.kind {
        Kind::Text(text) => Some(text),
        Kind::Name(_) | Kind::Sign(_) => None,
    };
    tags.iter().filter(refers).flat_map(|tag| tag.tokens.iter().filter_map(text)).collect()
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Scanner<'a> {
    /// Takes so many bytes; all of the rest, if they do not end between characters.
    fn advance(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest.starts_with(text);
        if found {
            self.advance(text.len());
        }
        found
    }

    /// Goes to the next place of a text, or to the end. Whether the text is there.
    fn skip_to(&mut self, text: &str) -> bool {
        let position = self.rest.find(text);
        self.advance(position.unwrap_or(self.rest.len()));
        position.is_some()
    }

    fn skip_raw(&mut self) {
        while self.skip_to("{%") {
            self.advance(2);
            if self.rest.trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
                return;
            }
        }
    }

    fn tokens(&mut self, end: &str) -> Vec<Token<'a>> {
        let mut tokens = Vec::new();
        // A dictionary may end in `}}` too.
        let mut open = 0_usize;
        while let Some(first) = self.rest.chars().next() {
            if open == 0 && self.take(end) {
                break;
            }
            let line = self.line;
            if let Some(kind) = self.token(first) {
                match kind {
                    Kind::Sign('{' | '(' | '[') => open += 1,
                    Kind::Sign('}' | ')' | ']') => open = open.saturating_sub(1),
                    _ => {}
                }
                tokens.push(Token { kind, line });
            }
        }
        tokens
    }

    fn token(&mut self, first: char) -> Option<Kind<'a>> {
        let in_name = |character: char| character.is_alphanumeric() || character == '_';
        if first == '"' || first == '\'' {
            return Some(Kind::Text(self.text(first)));
        }
        if in_name(first) {
            let length = self.rest.find(|character| !in_name(character)).unwrap_or(self.rest.len());
            return Some(Kind::Name(self.advance(length)));
        }
        self.advance(first.len_utf8());
        (!first.is_whitespace()).then_some(Kind::Sign(first))
    }

    /// A string literal, without its quotes.
    fn text(&mut self, quote: char) -> &'a str {
        self.advance(quote.len_utf8());
        let mut escaped = false;
        let ends = |character: char| {
            let ends = character == quote && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        };
        let length = self.rest.find(ends).unwrap_or(self.rest.len());
        let text = self.advance(length);
        self.advance(quote.len_utf8());
        text
    }
}
