//! The moment of an event.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400;

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
        let micros = self.0.unsigned_abs();
        let (seconds, fraction) = (micros / SECOND, micros % SECOND);
        let (year, month, day) = date(seconds / DAY);
        let [[c0, c1], [y0, y1], [m0, m1], [d0, d1]] = [year / 100, year, month, day].map(two_digits);
        let [[h0, h1], [n0, n1], [s0, s1]] = [seconds % DAY / 3600, seconds / 60 % 60, seconds % 60].map(two_digits);
        out.extend_from_slice(&[c0, c1, y0, y1, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1]);
        if fraction > 0 {
            let [[f0, f1], [f2, f3], [f4, f5]] = [fraction / 10_000, fraction / 100, fraction].map(two_digits);
            out.extend_from_slice(&[b'.', f0, f1, f2, f3, f4, f5]);
        }
    }
}

/// Year, month and day of the month of a day counted from the Unix epoch, in the Gregorian calendar.
///
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years begin on 1 March, so
/// that the leap day comes last, and 400 of them, an era of 146,097 days, repeat.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 1 March of the year 0
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let (next_year, month) = match months_since_march {
        march_on @ 0..10 => (0, march_on + 3),
        january_on => (1, january_on - 9),
    };
    (era * 400 + year_of_era + next_year, month, day)
}

/// The last two decimal digits of `number`.
fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
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
