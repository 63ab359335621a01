//! Tables of a target, and how items are written to them.

use std::fmt;

use crate::{Fault, Result};

/// The name of a table, with its schema where it is given. The parts are the
/// plain names: quoting is the business of whoever writes SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    /// The schema (in MySQL: the database).
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

impl TableName {
    /// Reads `table`, `schema.table`, or the same with parts in double quotes,
    /// in which a dot is part of the name and `""` is one quote.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::Kind::Config) if a part is empty or holds NUL, a
    /// quote is not closed, or there are more than two parts.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Fault::config(format!("{text:?} is no table name: {why}"));
        let mut parts: Vec<String> = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
                read_quoted(quoted).ok_or_else(|| wrong("its quote is not closed"))?
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            };
            if part.is_empty() {
                return Err(wrong("a part of it is empty"));
            }
            if part.contains('\0') {
                return Err(wrong("it holds a NUL character"));
            }
            parts.push(part);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => break,
                None => return Err(wrong("something follows its closing quote")),
            }
        }
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if parts.is_empty() {
            Ok(Self { schema, name })
        } else {
            Err(wrong("it has more than two parts; put a part with a dot in double quotes"))
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        part.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Some((part, rest)),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// How rows go into a table.
///
/// The writes of a unit are done one after another in the order of their
/// declaration, each for all items. In every mode but [`Insert`](Mode::Insert)
/// a row is found by its key, by the table's own idea of which keys are equal;
/// an item whose key holds a NULL fails (`null_key`), as it would find nothing
/// and never be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// New rows; one that is there already fails.
    Insert,
    /// New rows; one that is there already is passed over, and so is one that a
    /// trigger of the table drops.
    ///
    /// An item is counted as a *duplicate* if nothing of it was written.
    ///
    /// | the other writes of the job | an item all of whose `ignore` rows are there |
    /// |---|---|
    /// | none, or more of this mode | is a duplicate |
    /// | only [`Increment`](Mode::Increment)s beside | is a duplicate, and adds nothing |
    /// | any other mode | has its other writes done, and counts as processed |
    ///
    /// So a file that is loaded twice adds once, and the second order of a
    /// known customer is still an order. An item with one new row is new: all
    /// its writes are done. In the second case increments are done after the
    /// rows, wherever they are declared.
    Ignore,
    /// New rows, or new values for those that are there; columns that are not
    /// written keep theirs.
    Upsert,
    /// New values for rows that are there, all of those with the key; an item
    /// that finds none fails (`not_found`).
    Update,
    /// Rows that are there are removed, all of those with the key. One that is
    /// not there is gone already: its item counts as processed.
    Delete,
    /// Values are added to those of the row with the same key; a row that is
    /// not there is made.
    Increment,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 6] =
        [Self::Insert, Self::Ignore, Self::Upsert, Self::Update, Self::Delete, Self::Increment];

    /// The word in the job file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Ignore => "ignore",
            Self::Upsert => "upsert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Increment => "increment",
        }
    }

    /// The mode with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == word)
    }

    /// Whether rows are found by a key.
    pub fn is_keyed(self) -> bool {
        !matches!(self, Self::Insert)
    }

    /// Whether rows that are not there are made.
    pub fn makes_rows(self) -> bool {
        !matches!(self, Self::Update | Self::Delete)
    }

    /// Whether [`Duplicates`] has a say: the other modes say themselves what a
    /// second row of a key is.
    pub fn has_duplicates(self) -> bool {
        matches!(self, Self::Upsert | Self::Update)
    }
}

/// Which row wins where one unit has the same key twice, for
/// [`Mode::Upsert`] and [`Mode::Update`].
///
/// With `Last` the result does not depend on how the input is cut into units.
/// The others look at one unit: a key that comes again in a later one is
/// written again. (A unit is a chunk, or a part of one where an item of it was
/// refused.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Duplicates {
    /// The last one, as they are written one after another.
    #[default]
    Last,
    /// The first one; the others are passed over, as in [`Mode::Ignore`].
    First,
    /// Their numbers are added, key columns left out, a NULL adding nothing; of
    /// what is no number the last one stays.
    Sum,
    /// The first one; the others fail (`duplicate_key`).
    Reject,
}

/// A column of a table and the column of the item it is filled from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WriteColumn {
    /// In the table.
    pub column: String,
    /// In the item.
    pub from: String,
}

/// One write of a step: which columns of an item go where, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The table.
    pub table: TableName,
    /// Which rows of an item it takes: those of this [stream](crate::STREAM), or,
    /// where it is none, the row of the item itself.
    pub stream: Option<String>,
    /// How.
    pub mode: Mode,
    /// What, in this order, the key among it; for [`Mode::Increment`] the key,
    /// then what is added; for [`Mode::Delete`] the key alone. Empty stands for
    /// all columns of the item, until a job fills it in.
    pub columns: Vec<WriteColumn>,
    /// The table's columns by which a row is found. Empty for
    /// [`Mode::Insert`].
    pub key: Vec<String>,
    /// Which row wins within a unit, where the mode leaves it open.
    pub on_duplicate: Duplicates,
}

impl Write {
    /// New rows with all columns of the item.
    ///
    /// # Errors
    /// As [`TableName::parse`].
    pub fn insert(table: &str) -> Result<Self> {
        Ok(Self {
            table: TableName::parse(table)?,
            stream: None,
            mode: Mode::Insert,
            columns: Vec::new(),
            key: Vec::new(),
            on_duplicate: Duplicates::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: Option<&str>, name: &str) -> TableName {
        TableName { schema: schema.map(str::to_owned), name: name.to_owned() }
    }

    #[test]
    fn names_are_read_with_and_without_quotes() {
        let cases = [
            ("items", name(None, "items")),
            ("sales.items", name(Some("sales"), "items")),
            (r#""my.items""#, name(None, "my.items")),
            (r#"sales."my ""new"" items""#, name(Some("sales"), r#"my "new" items"#)),
            (r#"a"; DROP TABLE x;--"#, name(None, r#"a"; DROP TABLE x;--"#)),
        ];
        for (text, expected) in cases {
            assert_eq!(TableName::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", ".", "a.", "a.b.c", r#""a"#, r#""a"b"#, "a\0b"] {
            assert!(TableName::parse(text).is_err(), "{text:?}");
        }
    }
}
