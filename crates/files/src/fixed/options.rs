//! Where the fields of a line stand.

use kiln_core::{Fault, Result};

use crate::column::refuse_twice;
use crate::text_source::{check_record_limit, of_text};
use crate::{Column, Compression, Encoding, Ragged};

/// How a file of fixed-width fields is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedOptions {
    /// The columns, in order. They may overlap, and need not cover the line.
    pub columns: Vec<FixedColumn>,
    /// Whether the first line that is not blank is no record.
    pub header: bool,
    /// Texts that are NULL, in any column.
    pub nulls: Vec<String>,
    /// Whether blanks around a field are dropped.
    pub trim: bool,
    /// What happens to lines that end before the last column does: they fail, or
    /// what is missing is blank.
    pub ragged: Ragged,
    /// Bytes of the longest line, 1 to 512 MiB. A longer one is a bad record;
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

impl Default for FixedOptions {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            header: false,
            nulls: Vec::new(),
            trim: true,
            ragged: Ragged::Reject,
            max_record_bytes: 1 << 20,
            compression: None,
            encoding: None,
            name: None,
        }
    }
}

/// A column, and where it stands in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedColumn {
    /// Its name and its type.
    pub column: Column,
    /// Its first character, counted from 1.
    pub at: usize,
    /// How many characters it has, at least 1.
    pub width: usize,
}

impl FixedColumn {
    /// The characters before its end; `None`: more than can be counted.
    pub(super) fn end(&self) -> Option<usize> {
        self.at.checked_sub(1)?.checked_add(self.width)
    }
}

impl FixedOptions {
    /// Checks what can be checked without the file.
    pub(super) fn check(&self) -> Result<()> {
        if self.columns.is_empty() {
            return Err(Fault::config(
                "a file of fixed width has no columns unless they are named",
            ));
        }
        refuse_twice(self.columns.iter().map(|c| c.column.name.as_str()))?;
        let wrong = |c: &&FixedColumn| c.at == 0 || c.width == 0 || c.end().is_none();
        if let Some(FixedColumn { column, at, width }) = self.columns.iter().find(wrong) {
            return Err(Fault::config(format!(
                "column {}: {width} characters from the {at}th on are none",
                column.name
            ))
            .with_hint("characters are counted from 1, and a column has at least one")
            .with_column(&column.name));
        }
        check_record_limit(self.max_record_bytes)
    }

    /// The options that positions depend on, in words.
    pub(super) fn layout(&self) -> String {
        let Self { header, max_record_bytes, .. } = self;
        format!("fixed header {header} max_record_bytes {max_record_bytes}")
            + &of_text(self.compression, self.encoding)
    }
}
