//! A JSON value, as it is written, to a value of SQL.

use std::borrow::Cow;

use arrow_schema::DECIMAL128_MAX_PRECISION;

/// Digits behind the point of what `json_get_decimal` gives.
pub(super) const SCALE: i8 = 10;

/// Why a value is not what was asked for.
#[derive(Debug)]
pub(super) enum Misfit {
    /// It is something else.
    Kind,
    /// It is too large, or has too many digits.
    Digits,
    /// A text that is none.
    Text(serde_json::Error),
}

/// The text of a value: that of a string, else the value as it is written.
pub(super) fn text(raw: &str) -> Result<Cow<'_, str>, Misfit> {
    if raw.starts_with('"') {
        serde_json::from_str(raw).map(Cow::Owned).map_err(Misfit::Text)
    } else {
        Ok(Cow::Borrowed(raw))
    }
}

/// A whole number; `12.0` and `1e3` are whole.
pub(super) fn int(raw: &str) -> Result<i64, Misfit> {
    i64::try_from(scaled(raw, 0)?).map_err(|_| Misfit::Digits)
}

/// A number times 10 to the power of [`SCALE`], exactly.
pub(super) fn decimal(raw: &str) -> Result<i128, Misfit> {
    scaled(raw, i64::from(SCALE))
}

/// A float.
pub(super) fn float(raw: &str) -> Result<f64, Misfit> {
    digits_of(raw)?;
    raw.parse().ok().filter(|x: &f64| x.is_finite()).ok_or(Misfit::Digits)
}

/// True or false.
pub(super) fn bool(raw: &str) -> Result<bool, Misfit> {
    match raw {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Misfit::Kind),
    }
}

/// Sign, digits, and the power of ten by which they are to be multiplied.
fn digits_of(raw: &str) -> Result<(bool, String, i64), Misfit> {
    let (negative, size) = match raw.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, raw),
    };
    if !size.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Misfit::Kind);
    }
    let (mantissa, exponent) = match size.split_once(['e', 'E']) {
        None => (size, 0),
        Some((mantissa, power)) => (mantissa, power.parse::<i32>().map_err(|_| Misfit::Digits)?),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let power = i64::from(exponent) - fraction.len() as i64;
    Ok((negative, format!("{whole}{fraction}").trim_start_matches('0').to_owned(), power))
}

/// A number times 10 to the power of `scale`.
fn scaled(raw: &str, scale: i64) -> Result<i128, Misfit> {
    let (negative, mut digits, power) = digits_of(raw)?;
    if digits.is_empty() {
        return Ok(0);
    }
    let shift = power + scale;
    let wanted = usize::try_from(digits.len() as i64 + shift).map_err(|_| Misfit::Digits)?;
    if wanted > usize::from(DECIMAL128_MAX_PRECISION) {
        return Err(Misfit::Digits);
    }
    if wanted < digits.len() {
        if digits[wanted..].bytes().any(|digit| digit != b'0') {
            return Err(Misfit::Digits);
        }
        digits.truncate(wanted);
    } else {
        digits.extend(std::iter::repeat_n('0', wanted - digits.len()));
    }
    let size: i128 = digits.parse().map_err(|_| Misfit::Digits)?;
    Ok(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (raw, expected) in [
            ("0", 0),
            ("-0.0e9", 0),
            ("1.5", 15_000_000_000),
            ("-12.3456789012", -123_456_789_012),
            ("0.10000000000000000", 1_000_000_000),
            ("1e2", 1_000_000_000_000),
            ("250E-2", 25_000_000_000),
            ("9999999999999999999999999999.9999999999", 10i128.pow(38) - 1),
        ] {
            assert_eq!(decimal(raw).unwrap(), expected, "{raw}");
        }
        for raw in
            ["0.00000000001", "1e28", "1e999999999999", "1e-11", "12345678901234567890123456789"]
        {
            assert!(matches!(decimal(raw), Err(Misfit::Digits)), "{raw}");
        }
        for raw in ["\"1\"", "true", "[1]", "null"] {
            assert!(matches!(decimal(raw), Err(Misfit::Kind)), "{raw}");
        }
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        for (raw, expected) in
            [("12", 12), ("12.0", 12), ("1.2e1", 12), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(int(raw).unwrap(), expected, "{raw}");
        }
        for raw in ["12.5", "9223372036854775808", "1e19"] {
            assert!(matches!(int(raw), Err(Misfit::Digits)), "{raw}");
        }
        assert!(float("1e400").is_err() && float("\"1\"").is_err());
        assert_eq!(float("2.5e3").unwrap(), 2500.0);
    }
}
