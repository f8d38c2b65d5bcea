//! Points in time, in UTC, as messages and files have them. There is no other time zone here: the local one needs
//! files that this program does not read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time at this number of seconds after 1970.
pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

/// The seconds since 1970 of a time in the form of [`rfc3339`] or [`stamp`]. Other marks between the digits are
/// allowed. `None`: it is not a time.
pub fn seconds(when: &str) -> Option<u64> {
    let digits: String = when.chars().filter(char::is_ascii_digit).collect();
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    // As in `civil`: days since 0000-03-01.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day.checked_sub(1)?;
    let of_day = number(8..10)? * 3600 + number(10..12)? * 60 + number(12..14)?;
    Some(days.checked_sub(719_468)? * 86400 + of_day)
}

/// Year, month, day, hour, minute and second in UTC; 1970 for an earlier time.
fn civil(time: SystemTime) -> [u64; 6] {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(253_402_300_799);
    // Days since 0000-03-01, so that a leap day is the last of its year. An era is 400 years.
    let days = seconds / 86400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    [year, month, day, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60]
}

/// A time in seconds, such as `20261124T121326Z`.
pub fn stamp(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// A time in seconds, such as `2026-11-24T12:13:26Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for seconds in [0, 951_782_399, 951_782_400, 951_868_800, 1_709_251_199, 4_107_542_400] {
            let when = rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(super::seconds(&when), Some(seconds), "{when}");
        }
        for wrong in ["", "2026", "no date at all", "0000-00-00T00:00:00Z"] {
            assert_eq!(super::seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_civil_dates_in_utc() {
        // As `date -u -d @SECONDS` prints them.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_522_406, "2026-11-24T12:13:26Z"),
            (1_835_395_199, "2028-02-28T23:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "9999-12-31T23:59:59Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(rfc3339(time), expected, "{seconds}");
            assert_eq!(stamp(time), expected.replace(['-', ':'], ""), "{seconds}");
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }
}
