//! Text to whole numbers, floats and truth values.

use std::num::IntErrorKind;

/// Why a text is not the number that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNumber {
    /// It is no number.
    Text,
    /// It is out of range.
    Range,
}

/// A whole number, with or without a sign.
pub(crate) fn int(text: &str) -> Result<i64, NotNumber> {
    text.parse().map_err(|e: std::num::ParseIntError| match e.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => NotNumber::Range,
        _ => NotNumber::Text,
    })
}

/// A number that may be rounded, but not to infinity.
pub(crate) fn float(text: &str) -> Result<f64, NotNumber> {
    let number: f64 = text.parse().map_err(|_| NotNumber::Text)?;
    let overflow = number.is_infinite() && text.bytes().any(|b| b.is_ascii_digit());
    if overflow { Err(NotNumber::Range) } else { Ok(number) }
}

/// `true`, `t`, `yes`, `y`, `on`, `1` and their opposites, in any case.
pub(crate) fn bool(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(text));
    if is(&["true", "t", "yes", "y", "on", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(int("+12"), Ok(12));
        assert_eq!(int("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(int("9223372036854775808"), Err(NotNumber::Range));
        for text in ["", "12x", "1.0", "1e3", " 1", "-"] {
            assert_eq!(int(text), Err(NotNumber::Text), "{text:?}");
        }
        assert_eq!(float("1.5e3"), Ok(1500.0));
        assert_eq!(float("inf"), Ok(f64::INFINITY));
        assert_eq!(float("1e999"), Err(NotNumber::Range));
        assert_eq!(float("1,5"), Err(NotNumber::Text));
    }

    #[test]
    fn truth() {
        assert_eq!([bool("TRUE"), bool("0"), bool("maybe")], [Some(true), Some(false), None]);
    }
}
