//! One record to the raw texts of the values that are wanted.
//!
//! serde_json walks over the record once and checks it; values are taken as
//! they are written ([`RawValue`]), so that no number goes through a float.

use std::fmt;
use std::ops::Range;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::path::{JsonPath, JsonStep};

/// Where a value lies in its record; `None`: it is not there.
pub(super) type Place = Option<Range<usize>>;

/// The wanted paths of all columns as one tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    keys: Vec<(String, Tree)>,
    elements: Vec<(usize, Tree)>,
    /// The columns whose paths end here.
    columns: Vec<usize>,
}

impl Tree {
    /// The tree of these paths; each column is known by its place among them.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a JsonPath>) -> Self {
        let mut root = Self::default();
        for (column, path) in paths.into_iter().enumerate() {
            let node = path.0.iter().fold(&mut root, |node, step| node.child(step));
            node.columns.push(column);
        }
        root
    }

    fn child(&mut self, step: &JsonStep) -> &mut Self {
        match step {
            JsonStep::Key(key) => entry(&mut self.keys, key.clone()),
            JsonStep::Index(index) => entry(&mut self.elements, *index),
        }
    }

    /// Takes back what was found in an earlier value of the same key.
    fn forget(&self, found: &mut [Place]) {
        self.columns.iter().for_each(|column| found[*column] = None);
        self.keys.iter().for_each(|(_, child)| child.forget(found));
        self.elements.iter().for_each(|(_, child)| child.forget(found));
    }

    /// Finds where the values lie in a record. Of a key that comes twice, the
    /// last value counts.
    ///
    /// # Errors
    /// The record is no JSON, or no object and no array.
    pub(super) fn find(&self, record: &str, found: &mut [Place]) -> Result<(), serde_json::Error> {
        found.fill(None);
        let mut walk = serde_json::Deserializer::from_str(record);
        Inside { tree: self, record, found }.walk(&mut walk)?;
        walk.end()
    }

    /// Whether a path is empty: the way to the value itself.
    pub(super) fn takes_all(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The same in any value: one that is neither an object nor an array has
    /// nothing in it.
    ///
    /// # Errors
    /// The value is no JSON.
    pub(super) fn find_in_any(
        &self,
        value: &str,
        found: &mut [Place],
    ) -> Result<(), serde_json::Error> {
        found.fill(None);
        let mut walk = serde_json::Deserializer::from_str(value);
        Value { tree: self, record: value, found }.deserialize(&mut walk)?;
        walk.end()
    }
}

fn entry<K: PartialEq>(children: &mut Vec<(K, Tree)>, key: K) -> &mut Tree {
    let at = children.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
        children.push((key, Tree::default()));
        children.len() - 1
    });
    &mut children[at].1
}

/// Goes through an object or an array.
struct Inside<'a> {
    tree: &'a Tree,
    record: &'a str,
    found: &'a mut [Place],
}

impl Inside<'_> {
    fn walk<'de, D: Deserializer<'de>>(self, walk: D) -> Result<(), D::Error> {
        // What is an array is told by the tree: a record is an object, unless a
        // path begins with an element.
        if self.tree.keys.is_empty() && !self.tree.elements.is_empty() {
            walk.deserialize_seq(self)
        } else {
            walk.deserialize_map(self)
        }
    }
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let keys = &self.tree.keys;
        let mut likely = 0;
        while let Some(key) = map.next_key_seed(Key { keys, likely })? {
            match key {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(at) => {
                    likely = at + 1;
                    let (tree, record) = (&keys[at].1, self.record);
                    map.next_value_seed(Value { tree, record, found: self.found })?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let wanted = self.tree.elements.iter().find(|(i, _)| *i == index);
            let more = match wanted {
                None => seq.next_element::<IgnoredAny>()?.is_some(),
                Some((_, tree)) => {
                    let (record, found) = (self.record, &mut *self.found);
                    seq.next_element_seed(Value { tree, record, found })?.is_some()
                }
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// A value that lies on a path.
struct Value<'a> {
    tree: &'a Tree,
    record: &'a str,
    found: &'a mut [Place],
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, walk: D) -> Result<(), D::Error> {
        let raw = <&RawValue as serde::Deserialize>::deserialize(walk)?.get();
        let Self { tree, record, found } = self;
        let start = (raw.as_ptr() as usize).wrapping_sub(record.as_ptr() as usize);
        let place = start..start.wrapping_add(raw.len());
        if record.get(place.clone()) != Some(raw) {
            return Err(D::Error::custom("a value lies outside of its record"));
        }
        tree.forget(found);
        for column in &tree.columns {
            found[*column] = Some(place.clone());
        }
        let inside = match raw.as_bytes().first() {
            Some(b'{') => !tree.keys.is_empty(),
            Some(b'[') => !tree.elements.is_empty(),
            _ => false,
        };
        if !inside {
            return Ok(());
        }
        let mut walk = serde_json::Deserializer::from_str(raw);
        let inside = Inside { tree, record, found };
        let walked = match raw.as_bytes().first() {
            Some(b'{') => walk.deserialize_map(inside),
            _ => walk.deserialize_seq(inside),
        };
        walked.map_err(D::Error::custom)
    }
}

/// A key of an object, to its place among the wanted ones.
struct Key<'a> {
    keys: &'a [(String, Tree)],
    /// The one that follows the one before: records are alike.
    likely: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Option<usize>, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        if self.keys.get(self.likely).is_some_and(|(k, _)| k == key) {
            return Ok(Some(self.likely));
        }
        Ok(self.keys.iter().position(|(k, _)| k == key))
    }
}

/// The keys of a record that is an object, in order.
pub(super) fn keys(record: &str) -> Result<Vec<String>, serde_json::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    let mut walk = serde_json::Deserializer::from_str(record);
    let keys = walk.deserialize_map(Keys)?;
    walk.end()?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(paths: &[&str], record: &'a str) -> Vec<Option<&'a str>> {
        let paths: Vec<JsonPath> = paths.iter().map(|p| JsonPath::parse(p).unwrap()).collect();
        let mut places = vec![None; paths.len()];
        Tree::new(&paths).find(record, &mut places).unwrap();
        places.into_iter().map(|p| Some(&record[p?])).collect()
    }

    #[test]
    fn values_are_found_as_they_are_written() {
        let record = r#" {"b": 1.50, "a":{"x":"\u00e9","y":[1,{"z":null}]},"c":[], "b" :2e1} "#;
        let paths = ["a.x", "b", "a.y[1].z", "a.y", "c[0]", "a.x.deep", "a.y[1]", "nope", "a[0]"];
        assert_eq!(
            found(&paths, record),
            [
                Some(r#""\u00e9""#),
                Some("2e1"),
                Some("null"),
                Some(r#"[1,{"z":null}]"#),
                None,
                None,
                Some(r#"{"z":null}"#),
                None,
                None,
            ]
        );
        let twice = r#"{"a":{"x":1},"a":{"y":2}}"#;
        assert_eq!(found(&["a.x", "a.y"], twice), [None, Some("2")]);
        assert_eq!(found(&["[1]", "[0].a"], r#"[{"a":1},2]"#), [Some("2"), Some("1")]);
    }

    #[test]
    fn what_is_no_object_is_told() {
        let tree = Tree::new(&[JsonPath::parse("a").unwrap()]);
        for bad in
            ["", "1", "[1]", "{\"a\":1", "{\"a\":1} x", "{'a':1}", "{\"a\":01}", "{\"b\":tru}"]
        {
            assert!(tree.find(bad, &mut [None]).is_err(), "{bad}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(tree.find(&deep, &mut [None]).is_ok());
    }
}
