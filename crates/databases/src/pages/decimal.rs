//! Exact numbers from the text in which databases write them.

/// The digits of a plain number such as `-12.50`, with `scale` of them behind
/// the point; none if it is no such number, or needs more digits than
/// `precision` or `scale` give it.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let sign = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if sign.len() + fraction.len() == 0 || !all_digits(sign) || !all_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = usize::try_from(scale).ok()?.checked_sub(fraction.len())?;
    let digits: i128 = format!("{whole}{fraction}{:0<missing$}", "").parse().ok()?;
    fits(digits, precision).then_some(digits)
}

/// Whether a number has no more digits than this.
pub(crate) fn fits(digits: i128, precision: u8) -> bool {
    10u128.checked_pow(precision.into()).is_none_or(|limit| digits.unsigned_abs() < limit)
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn a_number_is_exact_or_none() {
        let cases = [
            ("12.50", 12, 3, Some(12_500)),
            ("-0.01", 4, 2, Some(-1)),
            ("+7", 4, 0, Some(7)),
            (".5", 4, 2, Some(50)),
            ("1.500", 4, 1, Some(15)),
            ("99.99", 4, 2, Some(9_999)),
            ("100.00", 4, 2, None),
            ("1.555", 9, 2, None),
            ("NaN", 9, 2, None),
            ("Infinity", 9, 2, None),
            ("1e3", 9, 2, None),
            ("", 9, 2, None),
            ("-", 9, 2, None),
            (".", 9, 2, None),
            ("--1", 9, 2, None),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(decimal(text, precision, scale), expected, "{text}");
        }
        let most = "99999999999999999999.999999999999999999";
        assert_eq!(decimal(most, 38, 18), Some(10i128.pow(38) - 1));
        assert_eq!(decimal(&format!("1{most}"), 38, 18), None);
    }
}
