//! The key of a row, and the place behind it as text.

use serde_json::{Value, json};

/// The key of a row.
pub(crate) type Key = Vec<KeyValue>;

/// One value of a row's key, exactly as the database compares it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum KeyValue {
    /// A whole number.
    Int(i64),
    /// A float.
    Real(f64),
    /// Text; in a typed database also the text of any other value.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text that is not UTF-8.
    BadText(Vec<u8>),
}

/// The largest whole number that keys are computed with: what lies between two of
/// them is shared out among ranges without running over. Larger keys are walked.
const MOST_WHOLE: u128 = 10u128.pow(35);

impl KeyValue {
    /// The whole number that it is, if it is one of at most [`MOST_WHOLE`]. Where
    /// `is_number` says so, a text is one, too: some databases give numbers as text.
    pub(super) fn whole(&self, is_number: bool) -> Option<i128> {
        match self {
            Self::Int(i) => Some(i128::from(*i)),
            Self::Text(text) if is_number => {
                text.parse().ok().filter(|n: &i128| n.unsigned_abs() <= MOST_WHOLE)
            }
            _ => None,
        }
    }

    /// Another whole number, written as this one is.
    pub(super) fn with_whole(&self, number: i128) -> Self {
        match (self, i64::try_from(number)) {
            (Self::Int(_), Ok(i)) => Self::Int(i),
            _ => Self::Text(number.to_string()),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Int(i) => json!(i),
            Self::Real(x) => json!({ "real": x.to_string() }),
            Self::Text(text) => json!(text),
            Self::Bytes(bytes) => json!({ "bytes": hex(bytes) }),
            Self::BadText(bytes) => json!({ "text": hex(bytes) }),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(n) => n.as_i64().map(Self::Int),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Object(tagged) if tagged.len() == 1 => {
                let (tag, text) = tagged.iter().next()?;
                let text = text.as_str()?;
                match tag.as_str() {
                    "real" => text.parse().ok().map(Self::Real),
                    "bytes" => bytes(text).map(Self::Bytes),
                    "text" => bytes(text).map(Self::BadText),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// A key as the text of a place: a JSON array.
pub(crate) fn write_place(key: &[KeyValue]) -> String {
    json_of(key).to_string()
}

/// A key as JSON.
pub(super) fn json_of(key: &[KeyValue]) -> Value {
    Value::from_iter(key.iter().map(KeyValue::to_json))
}

/// The key of so many values that JSON holds.
pub(super) fn key_of(json: &Value, values: usize) -> Option<Key> {
    let Value::Array(parts) = json else { return None };
    if parts.len() != values {
        return None;
    }
    parts.iter().map(KeyValue::from_json).collect()
}

/// A key for people: the value itself if there is one only.
pub(crate) fn shown(key: &[KeyValue]) -> String {
    match key {
        [KeyValue::Int(i)] => i.to_string(),
        [KeyValue::Text(text)] => text.clone(),
        [KeyValue::Real(x)] => x.to_string(),
        [KeyValue::Bytes(bytes) | KeyValue::BadText(bytes)] => hex(bytes),
        several => write_place(several),
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    hex.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_place(place: &str, values: usize) -> Option<Key> {
        key_of(&serde_json::from_str(place).ok()?, values)
    }

    #[test]
    fn numbers_are_computed_with_as_far_as_that_is_exact() {
        let whole = |n: i128| KeyValue::Text(n.to_string()).whole(true);
        let most = MOST_WHOLE as i128;
        assert_eq!([whole(most), whole(-most)], [Some(most), Some(-most)]);
        assert_eq!([whole(most + 1), whole(-most - 1), whole(i128::MIN)], [None; 3]);
        assert!((2 * most).checked_mul(kiln_core::TableSpec::MOST_RANGES as i128).is_some());
    }

    #[test]
    fn a_key_comes_back_exactly_as_it_was() {
        let key = vec![
            KeyValue::Int(i64::MIN),
            KeyValue::Int(i64::MAX),
            KeyValue::Real(0.1 + 0.2),
            KeyValue::Real(f64::NEG_INFINITY),
            KeyValue::Real(5e-324),
            KeyValue::Text("ä\"\n\\ \u{1}".to_owned()),
            KeyValue::Text("{\"real\": 1}".to_owned()),
            KeyValue::Bytes(vec![0, 255, 16]),
            KeyValue::BadText(vec![0xff]),
        ];
        let place = write_place(&key);
        assert_eq!(read_place(&place, key.len()), Some(key), "{place}");
    }

    #[test]
    fn what_is_no_place_is_told() {
        for place in ["", "x", "-1", "18446744073709551616", "[]", "[1,2]", "[null]", "[1.5]"] {
            assert_eq!(read_place(place, 1), None, "{place}");
        }
        for place in [r#"[{"bytes":"0"}]"#, r#"[{"bytes":"zz"}]"#, r#"[{"real":"x"}]"#, "[{}]"] {
            assert_eq!(read_place(place, 1), None, "{place}");
        }
    }

    #[test]
    fn people_see_the_value() {
        assert_eq!(shown(&[KeyValue::Text("A1".into())]), "A1");
        assert_eq!(shown(&[KeyValue::Int(7), KeyValue::Text("A1".into())]), r#"[7,"A1"]"#);
    }
}
