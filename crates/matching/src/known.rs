//! What is known of a catalog: its rows, and the ways to them.

use std::collections::HashMap;
use std::fmt::Write as _;

use kiln_core::Key;

use crate::decision::{Decision, decide};
use crate::fold::fold;
use crate::index::{Index, Near};
use crate::spec::{Fuzzy, MatchSpec};

/// The values of a row or of an item: those of `on`, and those that are
/// compared by likeness, as texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) on: &'a [Option<String>],
    pub(crate) compared: &'a [Option<String>],
}

impl<'a> From<(&'a [Option<String>], &'a [Option<String>])> for Values<'a> {
    fn from((on, compared): (&'a [Option<String>], &'a [Option<String>])) -> Self {
        Self { on, compared }
    }
}

/// How a row was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Name,
    Fold,
    Likeness,
}

/// What there is for an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Row(u32, By),
    /// Several rows may be meant.
    Several(Vec<Near>),
    Nothing,
}

/// The rows of a catalog, numbered in the order in which they came. Those behind
/// the settled ones can be taken out again.
#[derive(Debug)]
pub(crate) struct Known {
    folds: bool,
    fuzzy: Option<Fuzzy>,
    /// None while a row is not created yet.
    keys: Vec<Option<Key>>,
    by_name: HashMap<String, u32>,
    by_fold: HashMap<String, Rows>,
    index: Index,
    /// What to show of each row, one behind the other, and where each ends.
    shown: String,
    ends: Vec<usize>,
    /// The name and the fold of each row that is not settled.
    open: Vec<[Option<String>; 2]>,
    bytes: usize,
}

/// Rows of one fold: nearly always one.
#[derive(Debug)]
enum Rows {
    One(u32),
    Several(Vec<u32>),
}

impl Known {
    /// The memory that a row takes at least, beside its texts, in bytes.
    pub(crate) const LEAST: u64 = 100;

    pub(crate) fn new(spec: &MatchSpec) -> Self {
        Self {
            folds: spec.folded,
            fuzzy: spec.fuzzy.clone(),
            keys: Vec::new(),
            by_name: HashMap::new(),
            by_fold: HashMap::new(),
            index: Index::new(spec.compared().iter().map(|c| (c.compare, c.weight))),
            shown: String::new(),
            ends: Vec::new(),
            open: Vec::new(),
            bytes: 0,
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The memory that is taken, roughly.
    pub(crate) fn bytes(&self) -> u64 {
        let rows = self.keys.len() * 40 + self.shown.len() + self.bytes;
        (rows + self.index.bytes()) as u64
    }

    /// Adds a row; one without a key is yet to be created.
    pub(crate) fn push(&mut self, key: Option<Key>, values: Values<'_>) -> u32 {
        let row = self.keys.len() as u32;
        let name = name_of(values.on);
        let fold = name.as_ref().filter(|_| self.folds).and_then(|_| fold_of(values.on));
        if let Some(name) = &name {
            self.by_name.insert(name.clone(), row);
            self.bytes += name.len() + 48;
        }
        if let Some(fold) = &fold {
            self.bytes += fold.len() + 64;
            let rows = self.by_fold.entry(fold.clone()).or_insert(Rows::Several(Vec::new()));
            rows.add(row);
        }
        let compared: Vec<Option<&str>> = values.compared.iter().map(Option::as_deref).collect();
        self.index.push(&compared);
        self.shown.push_str(&shown(values));
        self.ends.push(self.shown.len());
        self.keys.push(key);
        self.open.push([name, fold]);
        row
    }

    /// The rows so far stay.
    pub(crate) fn settle(&mut self) {
        self.open.clear();
    }

    /// Takes the rows behind the first `rows` out again, as far as they are not
    /// settled.
    pub(crate) fn truncate(&mut self, rows: usize) {
        while self.keys.len() > rows {
            let Some([name, fold]) = self.open.pop() else { break };
            self.keys.pop();
            self.ends.pop();
            if let Some(name) = name {
                self.bytes -= name.len() + 48;
                self.by_name.remove(&name);
            }
            if let Some(fold) = fold {
                self.bytes -= fold.len() + 64;
                if self.by_fold.get_mut(&fold).is_some_and(Rows::drop_last) {
                    self.by_fold.remove(&fold);
                }
            }
        }
        self.shown.truncate(self.ends.last().copied().unwrap_or_default());
        self.index.truncate(self.keys.len() as u32);
    }

    /// The keys of all rows that are created.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().flatten()
    }

    pub(crate) fn key(&self, row: u32) -> Option<&Key> {
        self.keys.get(row as usize)?.as_ref()
    }

    pub(crate) fn set_key(&mut self, row: u32, key: Key) {
        if let Some(slot) = self.keys.get_mut(row as usize) {
            *slot = Some(key);
        }
    }

    /// What to show of a row.
    pub(crate) fn shown(&self, row: u32) -> &str {
        let row = row as usize;
        let begin = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(row).copied().unwrap_or_default();
        self.shown.get(begin.unwrap_or_default()..end).unwrap_or_default()
    }

    /// Looks for the row that is meant: by its name as it is written, then
    /// folded, then by likeness.
    pub(crate) fn find(&self, values: Values<'_>) -> Found {
        if let Some(name) = name_of(values.on) {
            if let Some(row) = self.by_name.get(&name) {
                return Found::Row(*row, By::Name);
            }
            if let Some(rows) = self.with_fold(values.on) {
                return self.decided(rows, 0.0, By::Fold);
            }
        }
        let Some(fuzzy) = &self.fuzzy else { return Found::Nothing };
        self.decided(self.near(values, fuzzy.at_least), fuzzy.margin, By::Likeness)
    }

    /// The rows that are at least so much alike, the likest first.
    pub(crate) fn near(&self, values: Values<'_>, at_least: f64) -> Vec<Near> {
        let compared: Vec<Option<&str>> = values.compared.iter().map(Option::as_deref).collect();
        self.index.near(&compared, at_least)
    }

    fn with_fold(&self, on: &[Option<String>]) -> Option<Vec<Near>> {
        if !self.folds {
            return None;
        }
        let alike = |row: &u32| Near { row: *row, score: 1.0 };
        self.by_fold.get(&fold_of(on)?).map(|rows| rows.all().iter().map(alike).collect())
    }

    fn decided(&self, near: Vec<Near>, margin: f64, by: By) -> Found {
        let is_same = |a, b| self.key(a).is_some() && self.key(a) == self.key(b);
        match decide(&near, margin, is_same) {
            Decision::Matched(near) => Found::Row(near.row, by),
            Decision::Ambiguous(near) => Found::Several(near),
            Decision::None => Found::Nothing,
        }
    }
}

impl Rows {
    fn all(&self) -> &[u32] {
        match self {
            Self::One(row) => std::slice::from_ref(row),
            Self::Several(rows) => rows,
        }
    }

    fn add(&mut self, row: u32) {
        *self = match self.all() {
            [] => Self::One(row),
            rows => Self::Several(rows.iter().copied().chain([row]).collect()),
        };
    }

    /// Drops the row that came last; whether none is left.
    fn drop_last(&mut self) -> bool {
        match self {
            Self::One(_) => true,
            Self::Several(rows) => {
                rows.pop();
                rows.is_empty()
            }
        }
    }
}

/// What a row is found by; none if one of the values is NULL, or there are none.
pub(crate) fn name_of(on: &[Option<String>]) -> Option<String> {
    let mut name = String::new();
    for value in on {
        push(&mut name, value.as_deref()?);
    }
    (!on.is_empty()).then_some(name)
}

/// The same, folded; none if nothing is left of all values.
fn fold_of(on: &[Option<String>]) -> Option<String> {
    let mut name = String::new();
    let mut is_empty = true;
    for value in on {
        let folded = fold(value.as_deref()?);
        is_empty &= folded.is_empty();
        push(&mut name, &folded);
    }
    (!is_empty).then_some(name)
}

/// Lengths keep ("ab", "c") apart from ("a", "bc").
fn push(name: &mut String, value: &str) {
    // Writing to a String does not fail.
    let _ = write!(name, "{}:{value}", value.len());
}

/// What people see of a row or of an item: what is compared, or else what it is
/// found by.
pub(crate) fn shown(values: Values<'_>) -> String {
    let shown = if values.compared.is_empty() { values.on } else { values.compared };
    shown.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use kiln_core::WriteColumn;

    use super::*;

    fn some(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|v| Some((*v).to_owned())).collect()
    }

    fn known(folded: bool, rows: &[&[&str]]) -> Known {
        let on = vec![WriteColumn { column: "code".into(), from: "code".into() }];
        let mut known = Known::new(&MatchSpec { folded, ..MatchSpec::exact("id", "t", on) });
        for (i, on) in rows.iter().enumerate() {
            known.push(Some(Key::Int(i as i64)), Values { on: &some(on), compared: &[] });
        }
        known
    }

    fn find(known: &Known, on: &[&str]) -> Found {
        known.find(Values { on: &some(on), compared: &[] })
    }

    #[test]
    fn values_are_kept_apart() {
        let mut known = known(false, &[&["ab", "c"], &["a", "bc"], &["1:a", ""]]);
        known.push(Some(Key::Int(9)), Values { on: &[None, Some("x".into())], compared: &[] });
        assert_eq!(find(&known, &["ab", "c"]), Found::Row(0, By::Name));
        assert_eq!(find(&known, &["a", "bc"]), Found::Row(1, By::Name));
        assert_eq!(find(&known, &["1:a", ""]), Found::Row(2, By::Name));
        assert_eq!(find(&known, &["abc", ""]), Found::Nothing);
        assert_eq!(known.by_name.len(), 3);
    }

    #[test]
    fn what_is_written_in_another_way_is_found_behind_what_is_equal() {
        let known = known(true, &[&["Caf\u{e9} 1"], &["x-1"], &["X 1"], &["--"]]);
        assert_eq!(find(&known, &["CAFE  1"]), Found::Row(0, By::Fold));
        assert_eq!(find(&known, &["x-1"]), Found::Row(1, By::Name));
        assert!(matches!(find(&known, &["x 1"]), Found::Several(rows) if rows.len() == 2));
        assert_eq!(find(&known, &["..."]), Found::Nothing);
    }

    #[test]
    fn rows_that_are_not_settled_can_be_taken_out() {
        let mut known = known(true, &[&["a"]]);
        known.settle();
        let before = known.bytes();
        for code in ["b", "A", "c"] {
            known.push(None, Values { on: &some(&[code]), compared: &[] });
        }
        assert!(matches!(find(&known, &["a "]), Found::Several(_)));
        known.truncate(1);
        assert_eq!((known.len(), known.bytes()), (1, before));
        assert_eq!(find(&known, &["a "]), Found::Row(0, By::Fold));
        assert_eq!(find(&known, &["b"]), Found::Nothing);
        known.truncate(0);
        assert_eq!(known.len(), 1, "settled rows stay");
    }
}
