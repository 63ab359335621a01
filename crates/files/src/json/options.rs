//! How a file of JSON is written, and what its columns are.

use arrow_schema::Schema;
use kiln_core::Result;

use super::path::JsonPath;
use crate::column::refuse_twice;
use crate::text_source::{check_record_limit, of_text};
use crate::{Column, ColumnType, Compression, Encoding};

/// How a file of JSON is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOptions {
    /// Where a record ends.
    pub records: JsonRecords,
    /// The columns, in order.
    pub columns: Vec<JsonColumn>,
    /// Whether other keys of the first records are columns of text behind them:
    /// those of the first 1,000 records or the first MiB, in the order in which
    /// they come, except where the path of a declared column leads through them.
    pub others: bool,
    /// Texts that are NULL, in any column.
    pub nulls: Vec<String>,
    /// Bytes of the longest record, 1 to 512 MiB. A longer one is a bad record;
    /// about three times as much memory may be used for reading.
    pub max_record_bytes: usize,
    /// How the file is packed; `None`: its first bytes tell.
    pub compression: Option<Compression>,
    /// The encoding of its text; `None`: what a byte order mark says, else UTF-8.
    pub encoding: Option<Encoding>,
    /// The name of the source as people know it; the file's name if there is
    /// none.
    pub name: Option<String>,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            records: JsonRecords::Lines,
            columns: Vec::new(),
            others: true,
            nulls: Vec::new(),
            max_record_bytes: 1 << 20,
            compression: None,
            encoding: None,
            name: None,
        }
    }
}

/// Where a record of JSON ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonRecords {
    /// At its line's end: JSON Lines. A line that is broken is one bad record.
    #[default]
    Lines,
    /// Where its bracket closes: the elements of one array that is the whole
    /// file, or, where the file does not begin with `[`, values one behind the
    /// other.
    Elements,
}

/// A column, and where in a record its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonColumn {
    /// Its name and its type.
    pub column: Column,
    /// The way to its value.
    pub path: JsonPath,
    /// What becomes of records that have no such key. A `null` is always NULL.
    pub missing: Missing,
}

/// What becomes of records in which a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// The value is NULL, as if there were a `null`.
    #[default]
    Null,
    /// They fail, with the code `missing`.
    Reject,
    /// The column, a `bool`, tells whether there is a value, be it a `null`.
    Tell,
}

impl JsonColumn {
    /// A column of text at a key of the record itself.
    pub(super) fn of_key(key: String) -> Self {
        let path = JsonPath::keys([key.as_str()]);
        Self { column: Column::new(key, ColumnType::Text), path, missing: Missing::Null }
    }

    /// A column that tells whether there is a value is a `bool`.
    pub(super) fn plain(&self) -> Self {
        let mut column = self.clone();
        if column.missing == Missing::Tell {
            column.column = Column::new(column.column.name, ColumnType::Bool);
        }
        column
    }
}

impl JsonOptions {
    /// Checks what can be checked without the file.
    pub(super) fn check(&self) -> Result<()> {
        refuse_twice(self.columns.iter().map(|c| c.column.name.as_str()))?;
        check_record_limit(self.max_record_bytes)
    }

    /// The same options, with what was found to be the [others](Self::others)
    /// declared: for the next file of a kind.
    pub fn with_columns_of(&self, schema: &Schema) -> Self {
        let columns = self.with_columns(schema.fields().iter().map(|f| f.name()));
        Self { columns, others: false, ..self.clone() }
    }

    /// The declared columns, and those of `names` that are not.
    pub(super) fn with_columns<'a>(
        &self,
        names: impl Iterator<Item = &'a String>,
    ) -> Vec<JsonColumn> {
        let known = |name: &str| self.columns.iter().any(|c| c.column.name == name);
        let others = names.filter(|name| self.others && !known(name)).cloned();
        let declared = self.columns.iter().map(JsonColumn::plain);
        declared.chain(others.map(JsonColumn::of_key)).collect()
    }

    /// The options that positions depend on, in words.
    pub(super) fn layout(&self) -> String {
        let Self { records, max_record_bytes, .. } = self;
        format!("json {records:?} max_record_bytes {max_record_bytes}")
            + &of_text(self.compression, self.encoding)
    }
}
