//! Dates and times from the text in which databases write them: ISO 8601 with a
//! blank or a `T`, to the microsecond. What such a value can't hold exactly (a
//! year before 1, `infinity`, a finer fraction) is none.

use chrono::NaiveDate;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Days since 1970-01-01.
pub(crate) fn date(text: &str) -> Option<i32> {
    let (days, rest) = read_date(text)?;
    rest.is_empty().then_some(days)
}

/// Microseconds since midnight; the end of the day is a time too.
pub(crate) fn time(text: &str) -> Option<i64> {
    let (us, rest) = read_time(text)?;
    rest.is_empty().then_some(us)
}

/// Microseconds since 1970-01-01 00:00, in UTC if it is an instant. An instant
/// must have a zone, and any other moment none.
pub(crate) fn timestamp(text: &str, is_instant: bool) -> Option<i64> {
    let (days, rest) = read_date(text)?;
    let (us, rest) = match rest.strip_prefix([' ', 'T']) {
        Some(rest) => read_time(rest)?,
        None => (0, rest),
    };
    let offset = match (is_instant, rest) {
        (false, "") => 0,
        (true, zone) => read_zone(zone)?,
        (false, _) => return None,
    };
    i64::from(days).checked_mul(DAY)?.checked_add(us)?.checked_sub(offset)
}

fn read_date(text: &str) -> Option<(i32, &str)> {
    let (year, rest) = digits(text, 4, 6)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2, 2)?;
    let year = i32::try_from(year).ok().filter(|year| *year > 0)?;
    let date = NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    Some((date.to_epoch_days(), rest))
}

fn read_time(text: &str) -> Option<(i64, &str)> {
    let (hours, rest) = digits(text, 2, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let (seconds, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 2, 2)?,
        None => (0, rest),
    };
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => read_fraction(rest)?,
        None => (0, rest),
    };
    let us = ((hours * 60 + minutes) * 60 + seconds) * SECOND + fraction;
    (minutes < 60 && seconds < 60 && us <= DAY).then_some((us, rest))
}

/// Microseconds; digits behind them must be zeros.
fn read_fraction(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (fraction, rest) = text.split_at(end);
    if fraction.is_empty() {
        return None;
    }
    let (kept, cut) = fraction.split_at(fraction.len().min(6));
    if cut.bytes().any(|b| b != b'0') {
        return None;
    }
    format!("{kept:0<6}").parse().ok().map(|us| (us, rest))
}

/// Microseconds east of UTC: `Z`, `+02`, `-03:30`, `+0100`, `+00:19:32`.
fn read_zone(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.strip_prefix('+')?),
    };
    let mut seconds = 0;
    let mut rest = text;
    for unit in [3_600, 60, 1] {
        if rest.is_empty() && unit != 3_600 {
            break;
        }
        // A colon stands only between two parts.
        let part = match rest.strip_prefix(':') {
            Some(part) if unit != 3_600 => part,
            _ => rest,
        };
        let (part, after) = digits(part, 2, 2)?;
        seconds += part * unit;
        rest = after;
    }
    rest.is_empty().then_some(sign * seconds * SECOND)
}

/// A number of so many digits, and what follows it.
fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if end < least {
        return None;
    }
    let (number, rest) = text.split_at(end);
    number.parse().ok().map(|n| (n, rest))
}

#[cfg(test)]
mod tests {
    use kiln_core::Cell;

    use super::*;

    #[test]
    fn what_a_cell_writes_is_read_again() {
        for us in [0, -1, 1, 1_262_304_000_123_456, -62_135_596_800_000_000] {
            assert_eq!(timestamp(&Cell::Timestamp(us, false).to_string(), false), Some(us));
            assert_eq!(timestamp(&Cell::Timestamp(us, true).to_string(), true), Some(us));
        }
        for days in [0, -719_162, 2_932_896, 20_000_000] {
            assert_eq!(date(&Cell::Date(days).to_string()), Some(days));
        }
        for us in [0, 1, DAY - 1, DAY] {
            assert_eq!(time(&Cell::Time(us).to_string()), Some(us));
        }
    }

    #[test]
    fn every_way_of_writing_a_moment_is_known() {
        let noon = 12 * 3_600 * SECOND;
        for text in ["1970-01-01 12:00", "1970-01-01T12:00:00", "1970-01-01 12:00:00.0000000"] {
            assert_eq!(timestamp(text, false), Some(noon), "{text}");
        }
        assert_eq!(timestamp("1970-01-02", false), Some(DAY));
        for text in [
            "1970-01-01 12:00:00Z",
            "1970-01-01 14:00:00+02",
            "1970-01-01 08:30:00-03:30",
            "1970-01-01 13:00+0100",
            "1970-01-01 12:19:32+00:19:32",
        ] {
            assert_eq!(timestamp(text, true), Some(noon), "{text}");
        }
        assert_eq!(timestamp("1970-01-01 00:00:00.5", false), Some(SECOND / 2));
    }

    #[test]
    fn what_can_not_be_kept_is_none() {
        for text in ["infinity", "0044-03-15 BC", "0000-01-01", "2023-02-29", "23-1-1", "", "x"] {
            assert_eq!(date(text), None, "{text}");
        }
        for text in ["24:00:01", "12:60", "12", "12:00:00.", "12:00:00.0000001", "-1:00"] {
            assert_eq!(time(text), None, "{text}");
        }
        for text in ["1970-01-01 12:00:00+02", "1970-01-01 12:00:00 BC", "-infinity", "1970"] {
            assert_eq!(timestamp(text, false), None, "{text}");
        }
        for text in ["1970-01-01 12:00:00", "1970-01-01 12:00:00+", "1970-01-01 12:00+02:"] {
            assert_eq!(timestamp(text, true), None, "{text}");
        }
    }
}
