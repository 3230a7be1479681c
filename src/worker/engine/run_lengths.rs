//! The text of a done set: `ke1:<offset>:<base64url of run lengths>`.
//!
//! The run lengths are LEB128 and alternate from the offset on: unfinished, finished, unfinished, finished.

const PREFIX: &str = "ke1:";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The text of these run lengths.
pub(super) fn encode(offset: i64, lengths: &[i64]) -> String {
    let mut bytes = Vec::with_capacity(lengths.len() * 2);
    for length in lengths {
        let mut rest = length.unsigned_abs();
        while rest > 0x7f {
            bytes.push(low_byte(rest) | 0x80);
            rest >>= 7;
        }
        bytes.push(low_byte(rest));
    }
    let mut text = format!("{PREFIX}{offset}:");
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = [18, 12, 6, 0].map(|shift| usize::try_from(bits >> shift & 63).unwrap_or_default());
        text.extend(
            digits.iter().take(chunk.len() + 1).filter_map(|digit| ALPHABET.get(*digit)).map(|c| char::from(*c)),
        );
    }
    text
}

/// The pairs of unfinished and finished run lengths, if the text is one that [`encode`] writes for this offset.
pub(super) fn decode(offset: i64, metadata: &[u8]) -> Option<Vec<(i64, i64)>> {
    let text = std::str::from_utf8(metadata).ok()?.strip_prefix(PREFIX)?;
    let (number, digits) = text.split_once(':')?;
    if number.parse() != Ok(offset) {
        return None;
    }
    let lengths = from_leb128(&from_base64(digits.as_bytes())?)?;
    let (pairs, rest) = lengths.as_chunks::<2>();
    // No overflow when they are added to the offset.
    let end = lengths.iter().try_fold(offset, |end, length| end.checked_add(*length));
    (rest.is_empty() && end.is_some())
        .then(|| pairs.iter().map(|[unfinished, finished]| (*unfinished, *finished)).collect())
}

/// How many bytes a run length takes.
pub(super) fn length_of(length: i64) -> usize {
    let bits = u64::BITS - length.unsigned_abs().leading_zeros();
    usize::try_from(bits.div_ceil(7).max(1)).unwrap_or_default()
}

fn low_byte(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

fn from_base64(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len());
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = ALPHABET.iter().position(|known| known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Lengths that are positive and no longer than an offset.
fn from_leb128(bytes: &[u8]) -> Option<Vec<i64>> {
    let mut lengths = Vec::new();
    let (mut length, mut shift) = (0_i64, 0);
    for byte in bytes {
        if shift > 56 {
            return None;
        }
        length |= i64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            if length == 0 {
                return None;
            }
            lengths.push(length);
            (length, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(lengths)
}
