//! The moment of a mail, as templates print it.

use crate::email::Timestamp;

/// Length of `2026-11-23 16:38:13`.
const LENGTH: usize = 19;
const MICROS: i64 = 1_000_000;

/// The year and the text `%Y-%m-%d %H:%M:%S` of a moment in UTC, given in seconds since the Unix epoch.
pub(super) fn year_and_text(seconds: i64) -> (i32, String) {
    let mut iso = Vec::with_capacity(LENGTH);
    Timestamp::from_micros(seconds.saturating_mul(MICROS)).write_iso(&mut iso);
    let text = String::from_utf8_lossy(&iso).replace('T', " ");
    let year = text.split('-').next().and_then(|year| year.parse().ok()).unwrap_or_default();
    (year, text)
}

#[cfg(test)]
mod tests {
    use super::year_and_text;

    #[test]
    fn is_what_python_prints() {
        assert_eq!(year_and_text(1_795_451_893), (2026, "2026-11-23 16:38:13".to_owned()));
        assert_eq!(year_and_text(0), (1970, "1970-01-01 00:00:00".to_owned()));
    }
}
