//! The statements of writes.
//!
//! Rows come as one array for each column, of its type or of text, so that a statement has as
//! many parameters as the table has columns, however many rows there are. Keys
//! are sorted before they are locked: two writers lock rows in the same order.

use kiln_core::{Mode, Result};

use super::table::Column;
use super::types::Family;
use crate::names::{quoted, quoted_list};

/// A write as its statements see it.
pub(super) struct Shape<'a> {
    /// The table, in quotes.
    pub(super) table: &'a str,
    pub(super) columns: &'a [Column],
    /// Which of the columns are the key.
    pub(super) keys: &'a [usize],
}

impl Shape<'_> {
    pub(super) fn copy(&self) -> Result<String> {
        let columns = quoted_list(self.columns.iter().map(|c| c.name.as_str()))?;
        Ok(format!("COPY {} ({columns}) FROM STDIN", self.table))
    }

    /// Adds rows up by key, and to what is there.
    pub(super) fn add(&self) -> Result<String> {
        self.add_from(&self.arrays(0..self.columns.len(), ""))
    }

    fn add_from(&self, source: &str) -> Result<String> {
        let (names, key) = (self.names()?, self.key()?);
        let values = list(0..names.len(), |i| match self.keys.contains(&i) {
            true => self.comparable(i),
            false => format!("sum(c{i}::{})", adding_type(&self.columns[i])),
        });
        let positions = self.positions();
        let changes =
            list(self.others(), |i| format!("{0} = coalesce(t.{0}, 0) + excluded.{0}", names[i]));
        Ok(format!(
            "INSERT INTO {} AS t ({}) SELECT {values} FROM {source} \
             GROUP BY {positions} ORDER BY {positions} \
             ON CONFLICT ({key}) DO UPDATE SET {changes}",
            self.table,
            names.join(", "),
        ))
    }

    /// Makes rows or changes them; no two may have the same key.
    pub(super) fn upsert(&self) -> Result<String> {
        self.upsert_from(&self.arrays(0..self.columns.len(), ""))
    }

    fn upsert_from(&self, source: &str) -> Result<String> {
        let (names, key) = (self.names()?, self.key()?);
        let values = list(0..names.len(), |i| self.comparable(i));
        let changes = list(self.others(), |i| format!("{0} = excluded.{0}", names[i]));
        Ok(format!(
            "INSERT INTO {} AS t ({}) SELECT {values} FROM {source} ORDER BY {} \
             ON CONFLICT ({key}) DO UPDATE SET {changes}",
            self.table,
            names.join(", "),
            self.positions(),
        ))
    }

    /// Makes the rows that are not there. Gives how many it made, and the
    /// numbers, from 1, of those that it did not.
    pub(super) fn ignore(&self) -> Result<String> {
        let (names, key) = (self.names()?, self.key()?);
        let all = list(0..names.len(), |i| format!("c{i}"));
        let sorted = list(self.keys.iter().copied(), |i| format!("c{i}"));
        let made = list(self.keys.iter().copied(), |i| format!("t.{} AS k{i}", names[i]));
        let same = joined(self.keys.iter().copied(), |i| format!("made.k{i} = u.c{i}"));
        let is_made =
            self.keys.first().map_or("true".to_owned(), |i| format!("made.k{i} IS NOT NULL"));
        Ok(format!(
            "WITH u AS ({typed}), \
             made AS (INSERT INTO {table} AS t ({names}) SELECT {all} FROM u ORDER BY {sorted}, o \
                      ON CONFLICT ({key}) DO NOTHING RETURNING {made}), \
             seen AS (SELECT u.o, {is_made} \
                        AND row_number() OVER (PARTITION BY {partition} ORDER BY u.o) = 1 AS is_made \
                      FROM u LEFT JOIN made ON {same}) \
             SELECT (SELECT count(*) FROM made), \
                    string_agg(o::text, ',' ORDER BY o) FILTER (WHERE NOT is_made) FROM seen",
            typed = self.typed(),
            table = self.table,
            names = names.join(", "),
            partition = list(self.keys.iter().copied(), |i| format!("u.c{i}")),
        ))
    }

    /// Changes rows; no two may have the same key. Gives the numbers, from 1,
    /// of those that found none.
    pub(super) fn update(&self) -> Result<String> {
        self.update_giving("u.o", "ORDER BY u.o")
    }

    /// The same, but divides by zero if a row found none.
    pub(super) fn update_all(&self) -> Result<String> {
        self.update_giving("1 / (count(*) = 0)::int", "")
    }

    fn update_giving(&self, given: &str, order: &str) -> Result<String> {
        let names = self.names()?;
        let changes = list(self.others(), |i| format!("{} = u.c{i}", names[i]));
        let same = joined(self.keys.iter().copied(), |i| format!("t.{} = u.c{i}", names[i]));
        let sorted = list(self.keys.iter().copied(), |i| format!("c{i}"));
        Ok(format!(
            "WITH u AS ({} ORDER BY {sorted}), \
             done AS (UPDATE {} AS t SET {changes} FROM u WHERE {same} RETURNING u.o) \
             SELECT {given} FROM u \
             WHERE NOT EXISTS (SELECT FROM done WHERE done.o = u.o) {order}",
            self.typed(),
            self.table,
        ))
    }

    /// Removes rows.
    pub(super) fn delete(&self) -> Result<String> {
        let names = self.names()?;
        let same = joined(self.keys.iter().copied(), |i| format!("t.{} = u.c{i}", names[i]));
        let sorted = list(self.keys.iter().copied(), |i| format!("c{i}"));
        Ok(format!(
            "WITH u AS ({} ORDER BY {sorted}) DELETE FROM {} AS t USING u WHERE {same}",
            self.typed(),
            self.table,
        ))
    }

    /// Which rows have the key of an earlier one: the numbers, from 1, of both.
    /// It takes the key's columns alone.
    pub(super) fn repeats(&self) -> String {
        let keys = list(self.keys.iter().copied(), |i| self.comparable(i));
        format!(
            "SELECT o, first FROM (SELECT o, min(o) OVER (PARTITION BY {keys}) AS first FROM {}) x \
             WHERE o <> first",
            self.arrays(self.keys.iter().copied(), "WITH ORDINALITY"),
        )
    }

    /// Which rows have a key that is in the table, or that a row before them has:
    /// their numbers, from 1. It takes the key's columns alone, as do those that
    /// follow. Each is looked up by itself: joined, the server might read the
    /// whole table for one unit.
    pub(super) fn taken(&self) -> Result<String> {
        let names = self.names()?;
        let keys = list(self.keys.iter().copied(), |i| format!("x.c{i}"));
        let same = joined(self.keys.iter().copied(), |i| format!("t.{} = x.c{i}", names[i]));
        let all = joined(self.keys.iter().copied(), |i| format!("x.c{i} IS NOT NULL"));
        Ok(format!(
            "SELECT o FROM (SELECT x.*, row_number() OVER (PARTITION BY {keys} ORDER BY o) AS turn \
                            FROM ({}) AS x) AS x \
             WHERE {all} AND (turn > 1 OR (SELECT true FROM {} AS t WHERE {same} LIMIT 1))",
            self.typed_key(),
            self.table,
        ))
    }

    /// Which rows name a row of another table that is not there.
    pub(super) fn without_parent(&self, other: &str, theirs: &[String]) -> String {
        let same = joined(self.keys.iter().zip(theirs), |(i, their)| format!("t.{their} = x.c{i}"));
        let all = joined(self.keys.iter(), |i| format!("x.c{i} IS NOT NULL"));
        format!(
            "SELECT o FROM ({}) AS x \
             WHERE {all} AND (SELECT true FROM {other} AS t WHERE {same} LIMIT 1) IS NULL",
            self.typed_key()
        )
    }

    /// Which rows an expression over the table's columns is false for.
    pub(super) fn failing(&self, expression: &str) -> Result<String> {
        let names = self.names()?;
        let named = list(self.keys.iter().copied(), |i| format!("x.c{i} AS {}", names[i]));
        Ok(format!(
            "SELECT kiln_o FROM (SELECT {named}, o AS kiln_o FROM ({}) AS x) AS x \
             WHERE NOT ({expression})",
            self.typed_key()
        ))
    }

    /// The key's columns of the rows, likewise.
    fn typed_key(&self) -> String {
        self.typed_of(self.keys.to_vec())
    }

    fn typed_of(&self, columns: Vec<usize>) -> String {
        let values = list(columns.iter().copied(), |i| format!("{} AS c{i}", self.comparable(i)));
        format!("SELECT {values}, o FROM {}", self.arrays(columns.into_iter(), "WITH ORDINALITY"))
    }

    /// Writes rows of texts that `source` gives, each column `i` as `c{i}`, and
    /// tells nothing of what it did: for rows that are tried.
    pub(super) fn trial(&self, mode: Mode, source: &str) -> Result<String> {
        let (names, key) = (self.names()?, self.key()?);
        let values = list(0..names.len(), |i| self.comparable(i));
        let typed = list(0..names.len(), |i| format!("{} AS c{i}", self.comparable(i)));
        let same = joined(self.keys.iter().copied(), |i| format!("t.{} = u.c{i}", names[i]));
        let sorted = list(self.keys.iter().copied(), |i| format!("c{i}"));
        let rows = format!("(SELECT {typed} FROM {source} ORDER BY {sorted}) AS u");
        let (table, columns) = (self.table, names.join(", "));
        let insert = format!("INSERT INTO {table} AS t ({columns}) SELECT {values} FROM {source}");
        Ok(match mode {
            Mode::Insert => insert,
            Mode::Ignore => format!("{insert} ON CONFLICT ({key}) DO NOTHING"),
            Mode::Upsert => self.upsert_from(source)?,
            Mode::Increment => self.add_from(source)?,
            Mode::Update => {
                let changes = list(self.others(), |i| format!("{} = u.c{i}", names[i]));
                format!("UPDATE {table} AS t SET {changes} FROM {rows} WHERE {same}")
            }
            Mode::Delete => format!("DELETE FROM {table} AS t USING {rows} WHERE {same}"),
        })
    }

    /// The rows, typed, each column `i` as `c{i}` and their numbers as `o`.
    fn typed(&self) -> String {
        self.typed_of((0..self.columns.len()).collect())
    }

    /// The parameters as rows of texts, for these columns.
    fn arrays(&self, columns: impl Iterator<Item = usize>, ordinality: &str) -> String {
        let columns: Vec<usize> = columns.collect();
        let given = list(1..=columns.len(), |n| format!("${n}"));
        let aliases = list(columns.into_iter(), |i| format!("c{i}"));
        let number = if ordinality.is_empty() { "" } else { ", o" };
        format!("unnest({given}) {ordinality} AS u ({aliases}{number})")
    }

    /// The value of a column as its table would have it, comparing as it does.
    fn comparable(&self, i: usize) -> String {
        let Column { cast, collation, .. } = &self.columns[i];
        format!("c{i}::{cast}{collation}")
    }

    fn names(&self) -> Result<Vec<String>> {
        self.columns.iter().map(|c| quoted(&c.name)).collect()
    }

    fn key(&self) -> Result<String> {
        quoted_list(self.keys.iter().map(|i| self.columns[*i].name.as_str()))
    }

    /// The columns beside the key.
    fn others(&self) -> impl Iterator<Item = usize> {
        (0..self.columns.len()).filter(|i| !self.keys.contains(i))
    }

    /// Where the key stands in a list of all columns, counted from 1.
    fn positions(&self) -> String {
        list(self.keys.iter().copied(), |i| (i + 1).to_string())
    }
}

fn list<T>(range: impl Iterator<Item = T>, text: impl Fn(T) -> String) -> String {
    range.map(text).collect::<Vec<_>>().join(", ")
}

fn joined<T>(range: impl Iterator<Item = T>, text: impl Fn(T) -> String) -> String {
    range.map(text).collect::<Vec<_>>().join(" AND ")
}

/// Sums are exact, and of a range that no column's exceeds.
fn adding_type(column: &Column) -> &'static str {
    match column.family {
        Family::Float => "float8",
        _ => "numeric",
    }
}
