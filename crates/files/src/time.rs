//! Text to dates and times: ISO 8601, or a format of the user's own.

use chrono::format::{Item, Numeric, Parsed, StrftimeItems, parse};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use kiln_core::{Fault, Result};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// How dates and times are written in one column.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// ISO 8601, leniently: a `T` or a blank between date and time, seconds may
    /// be missing, months and days need no leading zero.
    Iso,
    /// In the notation of `strftime`, as chrono reads it.
    Custom(Vec<Item<'static>>),
}

impl Format {
    /// Checks a format.
    pub(crate) fn new(format: &str) -> Result<Self> {
        let items = StrftimeItems::new(format).parse_to_owned().map_err(|_| {
            Fault::config(format!("{format:?} is no format of a date or time"))
                .with_hint("write it as for strftime, for example %d.%m.%Y %H:%M:%S")
        })?;
        if items.iter().any(|i| matches!(i, Item::Numeric(Numeric::Nanosecond, _))) {
            return Err(Fault::config(format!("%f in the format {format:?} counts nanoseconds"))
                .with_hint("write %.f for a fraction with its point, as in %H:%M:%S%.f"));
        }
        Ok(Self::Custom(items))
    }

    /// Days since 1970-01-01.
    pub(crate) fn date(&self, text: &str) -> Option<i32> {
        match self {
            Self::Iso => {
                let (date, rest) = iso_date(text)?;
                rest.is_empty().then_some(date)?
            }
            Self::Custom(items) => read(text, items)?.to_naive_date().ok()?,
        }
        .to_epoch_days()
        .into()
    }

    /// Microseconds since midnight.
    pub(crate) fn time(&self, text: &str) -> Option<i64> {
        match self {
            Self::Iso => {
                let (us, rest) = iso_time(text)?;
                rest.is_empty().then_some(us)
            }
            Self::Custom(items) => micros(read(text, items)?.to_naive_time().ok()?),
        }
    }

    /// Microseconds since 1970-01-01 00:00. With `zoned` they are counted in
    /// UTC, and a text without a zone is taken to be in UTC; without it, a text
    /// with a zone is refused.
    pub(crate) fn timestamp(&self, text: &str, zoned: bool) -> Option<i64> {
        let (us, offset) = match self {
            Self::Iso => iso_timestamp(text)?,
            Self::Custom(items) => custom_timestamp(&read(text, items)?)?,
        };
        match offset {
            Some(_) if !zoned => None,
            Some(seconds) => us.checked_sub(i64::from(seconds) * SECOND),
            None => Some(us),
        }
    }
}

fn read(text: &str, items: &[Item<'static>]) -> Option<Parsed> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, items.iter()).ok()?;
    Some(parsed)
}

/// Microseconds as the clock showed them, and the zone's offset in seconds.
fn custom_timestamp(parsed: &Parsed) -> Option<(i64, Option<i32>)> {
    let offset = parsed.offset();
    let shown = match parsed.to_naive_datetime_with_offset(offset.unwrap_or(0)) {
        Ok(shown) => shown,
        Err(_) if parsed.hour_div_12().is_none() => {
            NaiveDateTime::new(parsed.to_naive_date().ok()?, NaiveTime::MIN)
        }
        Err(_) => return None,
    };
    let us = i64::from(shown.date().to_epoch_days()) * DAY + micros(shown.time())?;
    Some((us, offset))
}

/// A time that is finer than microseconds, or a leap second, is none.
fn micros(time: NaiveTime) -> Option<i64> {
    let nanos = i64::from(time.nanosecond());
    let exact = nanos % 1_000 == 0 && nanos < 1_000 * SECOND;
    exact.then(|| i64::from(time.num_seconds_from_midnight()) * SECOND + nanos / 1_000)
}

fn iso_timestamp(text: &str) -> Option<(i64, Option<i32>)> {
    let (date, rest) = iso_date(text)?;
    let midnight = i64::from(date.to_epoch_days()) * DAY;
    if rest.is_empty() {
        return Some((midnight, None));
    }
    let (us, rest) = iso_time(rest.strip_prefix([' ', 'T', 't'])?)?;
    let offset = if rest.is_empty() { None } else { Some(iso_zone(rest)?) };
    Some((midnight + us, offset))
}

/// `2006-5-12`, and what follows it.
fn iso_date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = digits(text, 4, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    let year = i32::try_from(year).ok().filter(|y| *y > 0)?;
    Some((NaiveDate::from_ymd_opt(year, month, day)?, rest))
}

/// `8:26`, `08:26:00` or `08:26:00.123456`, and what follows it.
fn iso_time(text: &str) -> Option<(i64, &str)> {
    let (hour, rest) = digits(text, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 2, 2)?,
        None => (0, rest),
    };
    let (fraction, rest) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => fraction(rest)?,
        None => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((i64::from(hour * 3600 + minute * 60 + second) * SECOND + i64::from(fraction), rest))
}

/// Digits behind the point as microseconds; more than six must be zeros.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (all, rest) = text.split_at(len);
    let (kept, finer) = all.split_at(len.min(6));
    if kept.is_empty() || finer.bytes().any(|d| d != b'0') {
        return None;
    }
    let us = kept.parse::<u32>().ok()?;
    Some((us * 10u32.pow(6 - kept.len() as u32), rest))
}

/// `Z`, `+02`, `+0200` or `+02:00`, perhaps behind a blank, in seconds.
fn iso_zone(text: &str) -> Option<i32> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(&text[1..], 2, 2)?;
    let (minutes, rest) = match rest.strip_prefix(':').unwrap_or(rest) {
        "" if rest.is_empty() => (0, ""),
        minutes => digits(minutes, 2, 2)?,
    };
    if hours > 18 || minutes > 59 || !rest.is_empty() {
        return None;
    }
    Some(sign * i32::try_from(hours * 3600 + minutes * 60).ok()?)
}

/// Between `least` and `most` digits, and what follows them.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let len = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if len < least {
        return None;
    }
    let (digits, rest) = text.split_at(len);
    let number = digits.bytes().fold(0, |n, d| n * 10 + u32::from(d - b'0'));
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_core::Cell;

    fn shown(text: &str, format: &Format, zoned: bool) -> Option<String> {
        format.timestamp(text, zoned).map(|us| Cell::Timestamp(us, zoned).to_string())
    }

    #[test]
    fn iso_timestamps_are_read_leniently() {
        for (text, expected) in [
            ("2010-12-01 08:26:00", Some("2010-12-01 08:26:00")),
            ("2010-12-01T08:26", Some("2010-12-01 08:26:00")),
            ("2010-12-1 8:26:01.5", Some("2010-12-01 08:26:01.500000")),
            ("1969-12-31 23:59:59.999999", Some("1969-12-31 23:59:59.999999")),
            ("2010-12-01 08:26:01.123456000", Some("2010-12-01 08:26:01.123456")),
            ("2010-12-01", Some("2010-12-01 00:00:00")),
            ("2010-12-01 08:26:01.1234567", None),
            ("2010-12-01 08:26:00+01:00", None),
            ("2010-12-01 24:00:00", None),
            ("2010-12-01 08:60", None),
            ("2010-02-29 08:00", None),
            ("0000-01-01 00:00", None),
            ("2010-12-01 ", None),
            ("10-12-01", None),
            ("", None),
        ] {
            assert_eq!(shown(text, &Format::Iso, false).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn instants_are_in_utc() {
        for (text, expected) in [
            ("2010-12-01T08:26:00Z", Some("2010-12-01 08:26:00+00")),
            ("2010-12-01 08:26:00+02:00", Some("2010-12-01 06:26:00+00")),
            ("2010-12-01 23:26:00 -0330", Some("2010-12-02 02:56:00+00")),
            ("2010-12-01 08:26:00+02", Some("2010-12-01 06:26:00+00")),
            ("2010-12-01 08:26:00", Some("2010-12-01 08:26:00+00")),
            ("2010-12-01 08:26:00+99:00", None),
            ("2010-12-01 08:26:00+02:", None),
            ("2010-12-01 08:26:00 CET", None),
        ] {
            assert_eq!(shown(text, &Format::Iso, true).as_deref(), expected, "{text:?}");
        }
        let format = Format::new("%d/%b/%Y:%H:%M:%S %z").unwrap();
        let text = "10/Oct/2000:13:55:36 -0700";
        assert_eq!(shown(text, &format, true).unwrap(), "2000-10-10 20:55:36+00");
        assert_eq!(shown(text, &format, false), None);
    }

    #[test]
    fn formats_of_ones_own() {
        let format = Format::new("%m-%d-%Y %H-%M-%S%.f").unwrap();
        assert_eq!(
            shown("10-02-2014 00-33-14.1234", &format, false).unwrap(),
            "2014-10-02 00:33:14.123400"
        );
        assert_eq!(shown("10-02-2014 00-33-14.1234567", &format, false), None);
        assert_eq!(shown("2014-10-02", &format, false), None);
        let day = Format::new("%d.%m.%Y").unwrap();
        assert_eq!(shown("2.10.2014", &day, false).unwrap(), "2014-10-02 00:00:00");
        assert_eq!(Cell::Date(day.date("12.5.2006").unwrap()).to_string(), "2006-05-12");
        let clock = Format::new("%H:%M.%S").unwrap();
        assert_eq!(Cell::Time(clock.time("18:25.52").unwrap()).to_string(), "18:25:52");
        let seconds = Format::new("%s").unwrap();
        assert_eq!(shown("1291191960", &seconds, true).unwrap(), "2010-12-01 08:26:00+00");
        assert!(Format::new("%Q").unwrap_err().message().contains("%Q"));
        assert!(Format::new("%S.%f").unwrap_err().hint().unwrap().contains("%.f"));
    }

    #[test]
    fn dates_and_times() {
        let date = |text| Format::Iso.date(text).map(|d| Cell::Date(d).to_string());
        assert_eq!(date("2006-5-12").unwrap(), "2006-05-12");
        assert_eq!(date("2006-13-11"), None);
        assert_eq!(date("2006-05-12 00:00"), None);
        let time = |text| Format::Iso.time(text).map(|t| Cell::Time(t).to_string());
        assert_eq!(time("7:05").unwrap(), "07:05:00");
        assert_eq!(time("23:59:59.25").unwrap(), "23:59:59.250000");
        assert_eq!(time("7"), None);
    }
}
