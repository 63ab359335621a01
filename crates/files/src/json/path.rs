//! Paths into a JSON value: `order.lines[0].sku`.

use std::fmt;

use kiln_core::{Fault, Result};

/// A step on the way into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonStep {
    /// To the value of an object's key.
    Key(String),
    /// To an array's element, counted from 0.
    Index(usize),
}

/// The way to a value inside a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(pub Vec<JsonStep>);

impl JsonPath {
    /// Reads `order.lines[0].sku`: keys with dots between them, and the places
    /// of elements, counted from 0, in brackets. A key that has dots or brackets
    /// itself can't be written so: use [`JsonPath::keys`].
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config): a key or a place is empty.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Fault::config(format!("{text:?} is no path"))
                .with_hint("a path is written as in order.customer.name or lines[0].sku")
        };
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (key, places) = part.split_at(part.find('[').unwrap_or(part.len()));
            // `[0].sku` begins with an element; behind it no key is missing.
            if !key.is_empty() {
                steps.push(JsonStep::Key(key.to_owned()));
            } else if places.is_empty() || !steps.is_empty() {
                return Err(wrong());
            }
            for place in places.split_inclusive(']') {
                let digits = place.strip_prefix('[').and_then(|p| p.strip_suffix(']'));
                let index = digits.and_then(|d| d.parse().ok()).ok_or_else(wrong)?;
                steps.push(JsonStep::Index(index));
            }
        }
        Ok(Self(steps))
    }

    /// A path of keys, whatever is in them.
    pub fn keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(keys.into_iter().map(|k| JsonStep::Key(k.into())).collect())
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                JsonStep::Key(key) if i == 0 => f.write_str(key)?,
                JsonStep::Key(key) => write!(f, ".{key}")?,
                JsonStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_shown() {
        for text in ["a", "order.customer.name", "lines[0].sku", "m[1][2]", "[0].a"] {
            assert_eq!(JsonPath::parse(text).unwrap().to_string(), text);
        }
        let steps = [JsonStep::Key("a".into()), JsonStep::Index(10), JsonStep::Key("b c".into())];
        assert_eq!(JsonPath::parse("a[10].b c").unwrap().0, steps);
        for text in ["", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[0", "a[0]b", "a.[0]", "a[-1]"]
        {
            assert!(JsonPath::parse(text).is_err(), "{text:?}");
        }
    }
}
