//! Text to exact numbers, without a float on the way.

/// Why a text is not the number that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotDecimal {
    /// It is no number.
    Text,
    /// It has more digits before the point than there is room for.
    TooLarge,
    /// It has digits behind the point that there is no room for.
    TooFine,
}

/// The number times 10^`scale`, if it has at most `precision` digits then and
/// none are lost.
pub(crate) fn parse(text: &str, precision: u8, scale: u8) -> Result<i128, NotDecimal> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let size = match digits.iter().position(|b| matches!(b, b'e' | b'E')) {
        None => plain(digits, precision, scale)?,
        Some(e) => shifted(&digits[..e], &digits[e + 1..], precision, scale)?,
    };
    let size = i128::try_from(size).map_err(|_| NotDecimal::TooLarge)?;
    Ok(if negative { -size } else { size })
}

/// Digits with at most one point, at least one digit.
fn plain(text: &[u8], precision: u8, scale: u8) -> Result<u128, NotDecimal> {
    let (whole, fraction) = parts(text)?;
    let places = usize::from(scale);
    if fraction.len() > places && fraction[places..].iter().any(|d| *d != b'0') {
        return Err(NotDecimal::TooFine);
    }
    let fraction = &fraction[..fraction.len().min(places)];
    let missing = u32::from(scale) - fraction.len() as u32;
    let whole = number(whole)?.checked_mul(ten_to(scale)).ok_or(NotDecimal::TooLarge)?;
    let sum = whole.checked_add(number(fraction)? * 10u128.pow(missing));
    sum.filter(|n| *n < ten_to(precision)).ok_or(NotDecimal::TooLarge)
}

/// The same with an exponent: the point moves, no digit changes.
fn shifted(text: &[u8], exponent: &[u8], precision: u8, scale: u8) -> Result<u128, NotDecimal> {
    let exponent = std::str::from_utf8(exponent).ok().and_then(|e| e.parse::<i16>().ok());
    let by = i64::from(exponent.ok_or(NotDecimal::Text)?);
    let (whole, fraction) = parts(text)?;
    let mut digits = [whole, fraction].concat();
    if digits.iter().all(|d| *d == b'0') {
        return Ok(0);
    }
    if by.unsigned_abs() > 100 {
        return Err(if by > 0 { NotDecimal::TooLarge } else { NotDecimal::TooFine });
    }
    let point = whole.len() as i64 + by;
    let before = usize::try_from(-point).unwrap_or(0);
    digits.splice(..0, std::iter::repeat_n(b'0', before));
    let point = usize::try_from(point).unwrap_or(0);
    while digits.len() < point {
        digits.push(b'0');
    }
    digits.insert(point, b'.');
    plain(&digits, precision, scale)
}

/// The digits before and behind the point.
fn parts(text: &[u8]) -> Result<(&[u8], &[u8]), NotDecimal> {
    let point = text.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(p) => (&text[..p], &text[p + 1..]),
        None => (text, &[][..]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if all_digits && whole.len() + fraction.len() > 0 {
        Ok((whole, fraction))
    } else {
        Err(NotDecimal::Text)
    }
}

/// Digits as a number; the short way for as many as 64 bits hold.
fn number(digits: &[u8]) -> Result<u128, NotDecimal> {
    if digits.len() <= 19 {
        return Ok(u128::from(digits.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'))));
    }
    let step = |n: u128, d: &u8| n.checked_mul(10)?.checked_add(u128::from(d - b'0'));
    digits.iter().try_fold(0, step).ok_or(NotDecimal::TooLarge)
}

fn ten_to(n: u8) -> u128 {
    10u128.pow(u32::from(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_core::Cell;
    use proptest::prelude::*;

    #[test]
    fn exact_or_refused() {
        let cases = [
            ("2.55", 12, 3, Ok(2550)),
            ("+0.1", 5, 2, Ok(10)),
            ("-.5", 5, 1, Ok(-5)),
            ("7.", 5, 1, Ok(70)),
            ("1.5000", 5, 1, Ok(15)),
            ("0000000000000000000000000000000000000000000001", 1, 0, Ok(1)),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10i128.pow(38) - 1)),
            ("1.5e3", 6, 2, Ok(150_000)),
            ("12E-2", 6, 2, Ok(12)),
            ("1e-9", 6, 2, Err(NotDecimal::TooFine)),
            ("0e999", 6, 2, Ok(0)),
            ("1e999", 6, 2, Err(NotDecimal::TooLarge)),
            ("1e-999", 6, 2, Err(NotDecimal::TooFine)),
            ("1.05", 5, 1, Err(NotDecimal::TooFine)),
            ("1000", 5, 2, Err(NotDecimal::TooLarge)),
            ("100000000000000000000000000000000000000", 38, 0, Err(NotDecimal::TooLarge)),
            ("9999999999999999999999999999999999999999999", 38, 38, Err(NotDecimal::TooLarge)),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(parse(text, precision, scale), expected, "{text}");
        }
        for text in ["", "-", ".", "+-1", "1.2.3", "12x", "1e", "1e1.5", "e5", "$1", "1,5", "٣"] {
            assert_eq!(parse(text, 9, 2), Err(NotDecimal::Text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_shown(
            digits in -(10i128.pow(38) - 1)..10i128.pow(38),
            scale in 0u8..=38,
        ) {
            let shown = Cell::Decimal(digits, i8::try_from(scale).unwrap()).to_string();
            prop_assert_eq!(parse(&shown, 38, scale), Ok(digits));
            let shifted = format!("{digits}e-{scale}");
            prop_assert_eq!(parse(&shifted, 38, scale), Ok(digits));
        }

        #[test]
        fn nothing_panics(text in "[-+.eE0-9x]{0,60}", precision in 1u8..=38, scale in 0u8..=38) {
            let _ = parse(&text, precision, scale.min(precision));
        }
    }
}
