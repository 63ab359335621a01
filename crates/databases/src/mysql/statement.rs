//! The statements of writes, and names in them.

use kiln_core::{Fault, Result, TableName};

use super::table::Column;

/// A name in backticks, whatever it holds.
///
/// # Errors
/// A [`Kind::Config`](kiln_core::Kind::Config) for an empty name and for one
/// with NUL.
pub(super) fn quoted(name: &str) -> Result<String> {
    if name.is_empty() || name.contains('\0') {
        let why = if name.is_empty() { "is empty" } else { "holds a NUL character" };
        return Err(Fault::config(format!("the name {name:?} of a table or column {why}")));
    }
    Ok(format!("`{}`", name.replace('`', "``")))
}

/// A table, with its database where it is given.
pub(super) fn quoted_table(table: &TableName) -> Result<String> {
    let name = quoted(&table.name)?;
    match &table.schema {
        Some(schema) => Ok(format!("{}.{name}", quoted(schema)?)),
        None => Ok(name),
    }
}

/// The table of a write and its columns, some of which are the key.
pub(super) struct Shape<'a> {
    /// In quotes.
    pub(super) table: &'a str,
    pub(super) columns: &'a [Column],
    pub(super) keys: &'a [usize],
    /// Whether new rows are called by an alias.
    pub(super) row_alias: bool,
}

impl Shape<'_> {
    /// What stands before the rows of an `INSERT`.
    pub(super) fn insert(&self) -> Result<String> {
        let names = self.names()?.join(", ");
        Ok(format!("INSERT INTO {} ({names}) VALUES ", self.table))
    }

    /// What stands behind its rows where known ones are changed.
    pub(super) fn or_change(&self) -> Result<String> {
        self.on_known(|name, new| format!("{name} = {new}"))
    }

    /// What stands behind its rows where they are added to known ones.
    pub(super) fn or_add(&self) -> Result<String> {
        let table = self.table;
        self.on_known(|name, new| format!("{name} = COALESCE({table}.{name}, 0) + {new}"))
    }

    fn on_known(&self, change: impl Fn(&str, &str) -> String) -> Result<String> {
        let names = self.names()?;
        let (alias, new): (&str, fn(&str) -> String) = match self.row_alias {
            true => (" AS kiln_new", |name| format!("kiln_new.{name}")),
            false => ("", |name| format!("VALUES({name})")),
        };
        let changes = list(self.others(), |i| change(&names[i], &new(&names[i])));
        Ok(format!("{alias} ON DUPLICATE KEY UPDATE {changes}"))
    }

    /// The numbers of the staged rows whose key is there; locks them, where
    /// they are to be changed.
    pub(super) fn found(&self, stage: &str, lock: bool) -> Result<String> {
        let lock = if lock { " FOR UPDATE" } else { "" };
        Ok(format!("SELECT DISTINCT s.o FROM {}{lock}", self.joined(stage)?))
    }

    /// Gives the rows that are there the values of staged ones.
    pub(super) fn change(&self, stage: &str) -> Result<String> {
        let names = self.names()?;
        let changes = list(self.others(), |i| format!("t.{} = s.c{i}", names[i]));
        Ok(format!("UPDATE {} SET {changes}", self.joined(stage)?))
    }

    /// Adds the values of staged rows to those that are there.
    pub(super) fn add(&self, stage: &str) -> Result<String> {
        let names = self.names()?;
        let add = |i: usize| format!("t.{0} = COALESCE(t.{0}, 0) + COALESCE(s.c{i}, 0)", names[i]);
        Ok(format!("UPDATE {} SET {}", self.joined(stage)?, list(self.others(), add)))
    }

    /// Removes the rows that are there.
    pub(super) fn delete(&self, stage: &str) -> Result<String> {
        Ok(format!("DELETE t FROM {}", self.joined(stage)?))
    }

    /// The staged rows beside those of the table with the same key: from the
    /// few to the many.
    fn joined(&self, stage: &str) -> Result<String> {
        let names = self.names()?;
        let same = |i: &usize| format!("t.{} = s.c{i}", names[*i]);
        let same = self.keys.iter().map(same).collect::<Vec<_>>().join(" AND ");
        Ok(format!("{stage} AS s STRAIGHT_JOIN {} AS t ON {same}", self.table))
    }

    /// Statements that need what a write in this mode needs, one permission
    /// each.
    pub(super) fn permissions(&self, mode: kiln_core::Mode) -> Result<Vec<(&'static str, String)>> {
        use kiln_core::Mode;
        let names = self.names()?;
        let mut asked = Vec::new();
        let key = list(self.keys.iter().copied(), |i| names[i].clone());
        if mode.makes_rows() {
            let marks = vec!["?"; names.len()].join(", ");
            asked.push(("INSERT", format!("{}({marks})", self.insert()?)));
        }
        if mode.is_keyed() {
            asked.push(("SELECT", format!("SELECT {key} FROM {} LIMIT 0", self.table)));
        }
        // MariaDB asks for the key too where ON DUPLICATE KEY leaves it alone.
        let changed: Vec<usize> = match mode {
            Mode::Upsert | Mode::Increment => (0..names.len()).collect(),
            Mode::Update => self.others().collect(),
            _ => Vec::new(),
        };
        if !changed.is_empty() {
            let changes = list(changed.into_iter(), |i| format!("{} = ?", names[i]));
            asked.push(("UPDATE", format!("UPDATE {} SET {changes}", self.table)));
        }
        if mode == Mode::Delete {
            asked.push(("DELETE", format!("DELETE FROM {}", self.table)));
        }
        Ok(asked)
    }

    fn names(&self) -> Result<Vec<String>> {
        self.columns.iter().map(|c| quoted(&c.name)).collect()
    }

    /// The columns beside the key.
    fn others(&self) -> impl Iterator<Item = usize> {
        (0..self.columns.len()).filter(|i| !self.keys.contains(i))
    }
}

fn list(range: impl Iterator<Item = usize>, text: impl Fn(usize) -> String) -> String {
    range.map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_leave_its_quotes() {
        assert_eq!(quoted("a`; DROP TABLE x;--").unwrap(), "`a``; DROP TABLE x;--`");
        let table = TableName { schema: Some("s.t".into()), name: "u".into() };
        assert_eq!(quoted_table(&table).unwrap(), "`s.t`.`u`");
        assert!(quoted("a\0b").is_err());
        assert!(quoted("").is_err());
    }
}
