//! The server's answer to a command.
//!
//! smtp-proto 0.2 has a parser for replies, which is not used: it reads the enhanced code 5.7.509 as 5.7.255, takes lines
//! with different codes for one reply, and keeps the text.

use memchr::memchr;
use std::fmt;

/// More than this is no reply.
const MAX_LENGTH: usize = 16 * 1024;

/// The code of a reply. The text is left out: it may contain addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    code: u16,
    enhanced: Option<(u8, u16, u16)>,
}

/// The bytes are no reply, and never will be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Reply {
    /// A reply with these codes.
    pub const fn new(code: u16, enhanced: Option<(u8, u16, u16)>) -> Self {
        Self { code, enhanced }
    }

    /// The three digits, such as 550.
    pub const fn code(self) -> u16 {
        self.code
    }

    /// The enhanced status code (RFC 3463), such as (5, 1, 1), if the server sent one.
    pub const fn enhanced(self) -> Option<(u8, u16, u16)> {
        self.enhanced
    }

    /// Whether the command was carried out.
    pub const fn is_success(self) -> bool {
        self.code / 100 == 2
    }

    /// Whether the command was refused, for now or for good.
    pub const fn is_refusal(self) -> bool {
        matches!(self.code / 100, 4 | 5)
    }

    /// Whether the server closes the connection.
    pub(super) const fn is_goodbye(self) -> bool {
        self.code == 421
    }

    /// The first reply in `input`, and its length in bytes. `None` while its end is missing.
    pub(super) fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut rest = input;
        let mut first: Option<Self> = None;
        while let Some((line, tail)) = memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end + 1)) {
            let (reply, is_last) = Self::of_line(line)?;
            let first = *first.get_or_insert(reply);
            if reply.code != first.code {
                return Err(Malformed);
            }
            if is_last {
                return Ok(Some((first, input.len() - tail.len())));
            }
            rest = tail;
        }
        if input.len() > MAX_LENGTH {
            return Err(Malformed);
        }
        Ok(None)
    }

    /// The codes of a line, and whether it is the last one of its reply.
    fn of_line(line: &[u8]) -> Result<(Self, bool), Malformed> {
        let Some((digits, rest)) = line.trim_ascii_end().split_first_chunk::<3>() else { return Err(Malformed) };
        let code = number(digits).filter(|code| (200..600).contains(code)).ok_or(Malformed)?;
        let (is_last, text) = match rest {
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(Malformed),
        };
        let enhanced =
            enhanced(text).filter(|(class, ..)| matches!(class, 2 | 4 | 5) && u16::from(*class) == code / 100);
        Ok((Self { code, enhanced }, is_last))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match self.enhanced {
            Some((class, subject, detail)) => write!(f, " {class}.{subject}.{detail}"),
            None => Ok(()),
        }
    }
}

/// The enhanced code at the beginning of `text`.
fn enhanced(text: &[u8]) -> Option<(u8, u16, u16)> {
    let word = text.split(|byte| *byte == b' ').next()?;
    let mut parts = word.split(|byte| *byte == b'.').map(number);
    let code = (u8::try_from(parts.next()??).ok()?, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(code)
}

/// A number of one to three digits.
fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, usize) {
        let (reply, length) = Reply::parse(text.as_bytes()).unwrap().unwrap();
        (reply.to_string(), length)
    }

    #[test]
    fn codes_and_lengths() {
        assert_eq!(parse("250 ok\r\n354 go\r\n"), ("250".into(), 8));
        assert_eq!(parse("250-a\r\n250-b\r\n250 c\r\n"), ("250".into(), 21));
        assert_eq!(parse("550 5.1.1 <a@b.c>: no such user\r\n"), ("550 5.1.1".into(), 33));
        assert_eq!(parse("550 5.7.509 refused\r\n").0, "550 5.7.509");
        assert_eq!(parse("550-5.7.1 a\r\n550 5.7.1 b\r\n").0, "550 5.7.1");
        assert_eq!(parse("250 2.0.0\r\n").0, "250 2.0.0");
        assert_eq!(parse("220\r\n").0, "220");
        assert_eq!(parse("250 ok\n").0, "250");
        for text in
            ["550 2.1.1 class of another code", "550 5.1 x", "550 5.1.1.1 x", "550 5.1.1234 x", "550 192.168.0.1"]
        {
            assert_eq!(parse(&format!("{text}\r\n")).0, "550", "{text}");
        }
    }

    #[test]
    fn malformed() {
        for text in
            ["\r\n", "25\r\n", "250_ok\r\n", "150 ok\r\n", "999 ok\r\n", "HTTP/1.1 400\r\n", "250-a\r\n251 b\r\n"]
        {
            assert_eq!(Reply::parse(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(Reply::parse(&b"250-x\r\n".repeat(4000)), Err(Malformed));
        assert_eq!(Reply::parse(&vec![b'2'; MAX_LENGTH + 1]), Err(Malformed));
    }
}
