//! Values inside a JSON document, as they are written.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A step on the way into a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// To the value of an object's key.
    Key(&'a str),
    /// To an array's element, counted from 0.
    Place(i64),
}

/// A path as people write it: `lines[0].sku`.
pub(super) struct Path<'a>(pub(super) &'a [Step<'a>]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the document");
        }
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Place(place) => write!(f, "[{place}]")?,
            }
        }
        Ok(())
    }
}

/// The text of the value at a path; none where nothing is. Of a key that comes
/// twice, the last value counts. The whole document is checked.
pub(super) fn find<'d>(
    document: &'d str,
    path: &[Step<'_>],
) -> Result<Option<&'d str>, serde_json::Error> {
    let mut walk = serde_json::Deserializer::from_str(document);
    let found = Towards(path).deserialize(&mut walk)?;
    walk.end()?;
    Ok(found)
}

/// How many elements an array has, or keys an object; none for anything else.
pub(super) fn len(value: &str) -> Result<Option<i64>, serde_json::Error> {
    struct Count;
    impl<'de> Visitor<'de> for Count {
        type Value = i64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array or an object")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<i64, A::Error> {
            let mut count = 0;
            while seq.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<i64, A::Error> {
            let mut count = 0;
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }
    match value.as_bytes().first() {
        Some(b'[' | b'{') => {
            serde_json::Deserializer::from_str(value).deserialize_any(Count).map(Some)
        }
        _ => Ok(None),
    }
}

/// Goes on towards the end of a path.
struct Towards<'p>(&'p [Step<'p>]);

impl<'de> DeserializeSeed<'de> for Towards<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, walk: D) -> Result<Self::Value, D::Error> {
        let raw = <&RawValue>::deserialize(walk)?.get();
        let Some((step, rest)) = self.0.split_first() else { return Ok(Some(raw)) };
        let mut walk = serde_json::Deserializer::from_str(raw);
        let found = match (step, raw.as_bytes().first()) {
            (Step::Key(key), Some(b'{')) => walk.deserialize_map(InObject { key, rest }),
            (Step::Place(place), Some(b'[')) => {
                walk.deserialize_seq(InArray { place: *place, rest })
            }
            _ => Ok(None),
        };
        found.map_err(serde::de::Error::custom)
    }
}

struct InObject<'p> {
    key: &'p str,
    rest: &'p [Step<'p>],
}

impl<'de> Visitor<'de> for InObject<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_meant) = map.next_key_seed(Is(self.key))? {
            if is_meant {
                found = map.next_value_seed(Towards(self.rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct InArray<'p> {
    place: i64,
    rest: &'p [Step<'p>],
}

impl<'de> Visitor<'de> for InArray<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        for place in 0.. {
            if place == self.place {
                match seq.next_element_seed(Towards(self.rest))? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Step::{Key, Place};
    use super::*;

    #[test]
    fn values_are_found_as_they_are_written() {
        let document =
            r#" {"b": 1.50, "a":{"x":"\u00e9","y":[1,{"z":null}]}, "b" :2e400, "é":[]} "#;
        let cases: [(&[Step<'_>], Option<&str>); 9] = [
            (&[Key("b")], Some("2e400")),
            (&[Key("a"), Key("x")], Some(r#""\u00e9""#)),
            (&[Key("a"), Key("y"), Place(1)], Some(r#"{"z":null}"#)),
            (&[Key("a"), Key("y"), Place(1), Key("z")], Some("null")),
            (&[Key("é")], Some("[]")),
            (&[Key("a"), Key("y"), Place(2)], None),
            (&[Key("a"), Key("y"), Place(-1)], None),
            (&[Key("a"), Place(0)], None),
            (&[Key("b"), Key("c")], None),
        ];
        for (path, expected) in cases {
            assert_eq!(find(document, path).unwrap(), expected, "{}", Path(path));
        }
        assert_eq!(find(document, &[]).unwrap(), Some(document.trim()));
        assert_eq!(find("[[1],[2,3]]", &[Place(1), Place(0)]).unwrap(), Some("2"));
        for bad in ["", "x", "{\"a\":1", "{\"a\":1} x", "{'a':1}", "[1,]", "{\"b\":tru,\"a\":1}"] {
            assert!(find(bad, &[Key("a")]).is_err(), "{bad}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(find(&deep, &[Place(0), Place(0), Place(1)]).unwrap(), None);
    }

    #[test]
    fn elements_and_keys_are_counted() {
        for (value, expected) in
            [("[]", Some(0)), ("[1,[2],3]", Some(3)), (r#"{"a":[1,2]}"#, Some(1)), ("1", None)]
        {
            assert_eq!(len(value).unwrap(), expected, "{value}");
        }
    }
}
