//! Hexadecimal digits, in lower case.

/// The two digits of `byte`.
pub fn digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0xf].map(|number| number + if number < 10 { b'0' } else { b'a' - 10 })
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn writes_every_byte() {
        for byte in 0..=u8::MAX {
            assert_eq!(digits(byte), format!("{byte:02x}").as_bytes(), "{byte}");
        }
    }
}
