//! The moment of an event.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use speedate::{DateTime, DateTimeConfig, TimestampUnit};

/// In microseconds.
const SECOND: i64 = 1_000_000;

/// The last microsecond of the year 9999, where Python's `datetime` ends too.
const LAST: i64 = 253_402_300_799_999_999;

/// A moment in UTC: microseconds since the Unix epoch, in the years 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The present, by the system's clock.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(LAST))
    }

    /// The moment so many microseconds after the Unix epoch, or the nearest one in the years 1970 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(0, LAST))
    }

    /// Whole milliseconds since the Unix epoch.
    pub fn millis(self) -> i64 {
        self.0 / 1000
    }

    /// Appends the moment as Pydantic writes a `datetime` without zone: `2026-11-23T16:38:13.123456`.
    ///
    /// The fraction has six digits, or is left out when it is zero.
    pub fn write_iso(&self, out: &mut Vec<u8>) {
        // By default speedate guesses the unit.
        let config = DateTimeConfig { timestamp_unit: TimestampUnit::Second, ..DateTimeConfig::default() };
        let micros = u32::try_from(self.0 % SECOND).unwrap_or_default();
        // Neither can fail: speedate knows these years, and a vector takes any text.
        let Ok(moment) = DateTime::from_timestamp_with_config(self.0 / SECOND, micros, &config) else { return };
        let _ = write!(out, "{moment}");
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    fn iso(micros: i64) -> String {
        let mut out = b"x".to_vec();
        Timestamp::from_micros(micros).write_iso(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Each line is what Pydantic 2.14 said.
    #[test]
    fn writes_what_pydantic_writes() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00"),
            (1, "1970-01-01T00:00:00.000001"),
            (946_684_799_999_999, "1999-12-31T23:59:59.999999"),
            (951_825_600_100_000, "2000-02-29T12:00:00.100000"),
            (951_868_800_000_000, "2000-03-01T00:00:00"),
            (1_795_451_893_123_456, "2026-11-23T16:38:13.123456"),
            (1_795_451_893_123_400, "2026-11-23T16:38:13.123400"),
            (1_795_451_893_000_000, "2026-11-23T16:38:13"),
            (1_835_398_923_000_040, "2028-02-29T01:02:03.000040"),
            (4_107_542_399_001_000, "2100-02-28T23:59:59.001000"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00"),
            (13_574_585_228_000_090, "2400-02-29T06:07:08.000090"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999"),
        ] {
            assert_eq!(iso(micros), format!("x{expected}"), "{micros}");
        }
    }

    #[test]
    fn knows_every_day_until_9999() {
        let mut before = iso(0);
        for day in 1..=2_932_896 {
            let today = iso(day * 86_400_000_000);
            assert!(before < today, "{before} before {today}");
            before = today;
        }
        assert_eq!(before, "x9999-12-31T00:00:00");
    }

    #[test]
    fn stays_within_its_years() {
        assert_eq!(iso(-1), "x1970-01-01T00:00:00");
        assert_eq!(iso(i64::MIN), "x1970-01-01T00:00:00");
        assert_eq!(iso(i64::MAX), "x9999-12-31T23:59:59.999999");
    }

    #[test]
    fn counts_whole_milliseconds() {
        assert_eq!(Timestamp::from_micros(1_795_451_893_123_999).millis(), 1_795_451_893_123);
    }

    #[test]
    fn now_is_after_this_was_written() {
        assert!(Timestamp::now() > Timestamp::from_micros(1_750_000_000_000_000));
    }
}
