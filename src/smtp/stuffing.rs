//! Dot-stuffing: a message as it travels after DATA.

use memchr::memmem;

/// Writes `message` into `output`, with a second dot before each dot that begins a line (RFC 5321 section 4.5.2), and
/// the terminator. Without a last CRLF the message gets one.
///
/// A dot after a bare LF counts as the beginning of a line too: some servers would take `LF.LF` for the terminator, and
/// what follows for commands.
pub(super) fn stuff(message: &[u8], output: &mut Vec<u8>) {
    output.clear();
    output.reserve(message.len() + 64);
    if message.starts_with(b".") {
        output.push(b'.');
    }
    let dot_after_line_end = memmem::Finder::new(b"\n.");
    let mut rest = message;
    while let Some((lines, tail)) = dot_after_line_end.find(rest).and_then(|at| rest.split_at_checked(at + 1)) {
        output.extend_from_slice(lines);
        // The dot of `tail` follows at the next turn, together with its line.
        output.push(b'.');
        rest = tail;
    }
    output.extend_from_slice(rest);
    if !message.ends_with(b"\r\n") {
        output.extend_from_slice(b"\r\n");
    }
    output.extend_from_slice(b".\r\n");
}

/// The size that `message` will have on the server (RFC 1870): with its last CRLF, without stuffing and terminator.
pub(super) fn size(message: &[u8]) -> usize {
    message.len() + if message.ends_with(b"\r\n") { 0 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(message: &str) -> String {
        let mut output = b"left over".to_vec();
        stuff(message.as_bytes(), &mut output);
        String::from_utf8_lossy(&output).into_owned()
    }

    /// What a server does with the lines it receives.
    fn received(wire: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for line in wire.split_inclusive(|byte| *byte == b'\n') {
            if line == b".\r\n" {
                return message;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        unreachable!("no terminator")
    }

    #[test]
    fn examples() {
        assert_eq!(stuffed("a\r\n.b\r\n"), "a\r\n..b\r\n.\r\n");
        assert_eq!(stuffed(".\r\n.\r\n"), "..\r\n..\r\n.\r\n");
        assert_eq!(stuffed("a\n.\nb"), "a\n..\nb\r\n.\r\n");
        assert_eq!(stuffed("..a.b..\r\n"), "...a.b..\r\n.\r\n");
        assert_eq!(stuffed(""), "\r\n.\r\n");
        assert_eq!(stuffed("a"), "a\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn the_server_receives_the_message(text in "[.a\r\n]{0,40}") {
            let mut wire = Vec::new();
            stuff(text.as_bytes(), &mut wire);
            let mut message = text.clone().into_bytes();
            if !text.ends_with("\r\n") {
                message.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(size(text.as_bytes()), message.len());
            prop_assert_eq!(received(&wire), message);
            // The terminator is the only one, for a server that takes a bare LF for a line end as well.
            let ends = |end: &[u8]| wire.windows(end.len()).filter(|window| *window == end).count();
            prop_assert_eq!(ends(b"\n.\r\n"), 1);
            prop_assert_eq!(ends(b"\n.\n"), 0);
        }
    }
}
