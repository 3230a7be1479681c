//! Base64 of AUTH exchanges, with padding (RFC 4648).

/// The decoded text; None when it is not Base64, or no UTF-8 once decoded.
pub(super) fn decode(text: &str) -> Option<String> {
    let digits = text.trim_end_matches('=');
    let mut decoded = Vec::with_capacity(digits.len() * 3 / 4);
    let mut bits = 0_u32;
    let mut count = 0;
    for byte in digits.bytes() {
        bits = (bits << 6) | u32::from(value(byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    let is_padded = text.len().is_multiple_of(4) && text.len() - digits.len() <= 2;
    String::from_utf8(decoded).ok().filter(|_| is_padded)
}

fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
