//! How far the catalog had come, for a run that goes on.

use std::sync::Arc;

use kiln_core::{Fault, Key, Result};

/// The highest key that is known, where new rows get higher ones.
///
/// As state it is the number as text; "none" is an empty catalog.
#[derive(Debug)]
pub(crate) struct Place {
    rises: bool,
    highest: Option<i64>,
    /// Whether `highest` tells which rows are known, or all are.
    is_told: bool,
}

/// The state of a catalog without rows.
const NO_ROWS: &str = "none";

impl Place {
    /// The place before the catalog is loaded. If keys do not rise it tells
    /// nothing.
    pub(crate) fn new(rises: bool) -> Self {
        Self { rises, highest: None, is_told: false }
    }

    /// Whether a row was there when the catalog had come to this place.
    pub(crate) fn is_before(&self, key: &Key) -> bool {
        match key {
            Key::Int(key) if self.is_told => self.highest.is_some_and(|highest| *key <= highest),
            _ => true,
        }
    }

    /// The catalog is loaded; these are the keys in it.
    pub(crate) fn loaded<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        if self.rises && !self.is_told {
            self.highest = keys.filter_map(integer).max();
            self.is_told = true;
        }
    }

    /// These rows were created.
    pub(crate) fn created(&mut self, keys: &[Key]) {
        let highest = keys.iter().filter_map(integer).max();
        self.highest = self.highest.max(highest);
    }

    pub(crate) fn save(&self) -> Option<Arc<[u8]>> {
        if !self.rises || !self.is_told {
            return None;
        }
        let text = self.highest.map_or_else(|| NO_ROWS.to_owned(), |key| key.to_string());
        Some(Arc::from(text.as_bytes()))
    }

    /// Goes to the place of a state; whether the catalog has to be loaded anew.
    pub(crate) fn restore(&mut self, state: Option<&[u8]>) -> Result<bool> {
        let before = (self.is_told, self.highest);
        (self.is_told, self.highest) = match state {
            None => (false, None),
            Some(_) if !self.rises => return Err(not_ours()),
            Some(state) => (true, read(state)?),
        };
        Ok(before != (self.is_told, self.highest))
    }
}

fn integer(key: &Key) -> Option<i64> {
    match key {
        Key::Int(key) => Some(*key),
        Key::Text(_) => None,
    }
}

fn read(state: &[u8]) -> Result<Option<i64>> {
    match std::str::from_utf8(state) {
        Ok(NO_ROWS) => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| not_ours()),
        Err(_) => Err(not_ours()),
    }
}

fn not_ours() -> Fault {
    Fault::config("the saved state is not one of a match by likeness")
        .with_hint("the job changed since the run began; start a new run with --again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_behind_the_place_are_left_out() {
        let mut place = Place::new(true);
        assert!(place.save().is_none() && place.is_before(&Key::Int(99)));
        place.loaded([Key::Int(3), Key::Int(7)].iter());
        let begin = place.save().unwrap();
        assert_eq!(&*begin, b"7");
        place.created(&[Key::Int(9), Key::Int(8)]);
        assert_eq!(place.save().as_deref(), Some(&b"9"[..]));
        assert!(!place.restore(Some(b"9")).unwrap(), "it is there");
        assert!(place.restore(Some(&begin)).unwrap());
        assert!(place.is_before(&Key::Int(7)) && !place.is_before(&Key::Int(8)));
        assert!(place.restore(Some(b"none")).unwrap() && !place.is_before(&Key::Int(1)));
        assert!(place.restore(None).unwrap() && place.is_before(&Key::Int(99)));
        assert!(place.restore(Some(b"x")).is_err());
        assert!(Place::new(false).restore(Some(b"1")).is_err());
    }

    #[test]
    fn an_empty_catalog_is_a_place() {
        let mut place = Place::new(true);
        place.loaded([].iter());
        assert_eq!(place.save().as_deref(), Some(&b"none"[..]));
        assert!(!place.is_before(&Key::Int(1)));
    }
}
