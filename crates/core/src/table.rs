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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// New rows; one that is there already fails.
    Insert,
    /// New rows; one that is there already is counted as a duplicate.
    Ignore,
    /// New rows, or new values for those that are there.
    Upsert,
    /// New values for rows that are there.
    Update,
    /// Rows that are there are removed.
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
}

/// Which row wins where one unit has the same key twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Duplicates {
    /// The last one, as if they had been written one after another.
    #[default]
    Last,
    /// The first one; the others count as duplicates.
    First,
    /// Their values are added.
    Sum,
    /// The first one; the others fail.
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
    /// How.
    pub mode: Mode,
    /// What, in this order; for [`Mode::Increment`] the keys, then what is
    /// added. Empty stands for all columns of the item, until a job fills it in.
    pub columns: Vec<WriteColumn>,
    /// The table's columns by which a row is found. Empty for
    /// [`Mode::Insert`].
    pub key: Vec<String>,
    /// Which row wins within a unit.
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
