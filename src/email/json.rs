//! Text as JSON, in the form that Python's `json.dumps` gives it: pure ASCII.

/// Bytes looked at together, without leaving early, so that the compiler uses vector instructions.
const BLOCK: usize = 8;

/// Appends `text` with its quotes, exactly as Python's `json.dumps(text)` writes it.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some((run, special, after)) = split_at_special(rest) {
        out.extend_from_slice(run.as_bytes());
        write_escape(out, special);
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// What comes before the first character that needs an escape, that character, and what comes after it.
fn split_at_special(text: &str) -> Option<(&str, char, &str)> {
    let (run, rest) = text.split_at_checked(plain_length(text.as_bytes()))?;
    let mut characters = rest.chars();
    characters.next().map(|special| (run, special, characters.as_str()))
}

/// How many bytes stand for themselves before the first that does not.
fn plain_length(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let is_plain_block = |block: &[u8; BLOCK]| block.iter().fold(true, |plain, byte| plain & is_plain(*byte));
    let start = blocks.iter().take_while(|block| is_plain_block(block)).count() * BLOCK;
    start + text.iter().skip(start).take_while(|byte| is_plain(**byte)).count()
}

/// Printable ASCII but the quote and the backslash.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
}

fn write_escape(out: &mut Vec<u8>, special: char) {
    match special {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write_code_unit(out, *unit)),
    }
}

fn write_code_unit(out: &mut Vec<u8>, unit: u16) {
    let digits = [12, 8, 4, 0].map(|shift| char::from_digit(u32::from(unit >> shift & 0xf), 16).unwrap_or('0') as u8);
    out.extend_from_slice(b"\\u");
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::write_string;

    fn json(text: &str) -> String {
        let mut out = b"x".to_vec();
        write_string(&mut out, text);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Each line is what Python 3.11 said.
    #[test]
    fn writes_what_python_writes() {
        for (text, expected) in [
            ("", r#"x"""#),
            ("Anna", r#"x"Anna""#),
            ("app://verify?token=a/b&c='d'", r#"x"app://verify?token=a/b&c='d'""#),
            ("\\", r#"x"\\""#),
            ("say \"hi\"", r#"x"say \"hi\"""#),
            ("\n\r\t\u{8}\u{c}", r#"x"\n\r\t\b\f""#),
            ("\0\u{b}\u{1f} ~\u{7f}\u{80}", r#"x"\u0000\u000b\u001f ~\u007f\u0080""#),
            ("Zoë", r#"x"Zo\u00eb""#),
            ("\u{2028}\u{d7ff}\u{e000}\u{ffff}", r#"x"\u2028\ud7ff\ue000\uffff""#),
            ("李 😀!", r#"x"\u674e \ud83d\ude00!""#),
            ("\u{10000}\u{10ffff}", r#"x"\ud800\udc00\udbff\udfff""#),
        ] {
            assert_eq!(json(text), expected, "{text:?}");
        }
    }

    #[test]
    fn escapes_exactly_what_is_not_plain() {
        for byte in 0..=0x7f_u8 {
            let text = char::from(byte).to_string();
            let plain = (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
            assert_eq!(json(&text) == format!("x\"{text}\""), plain, "{byte:#04x}");
        }
    }
}
