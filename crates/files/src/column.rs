//! What is known of a column of a file.

use kiln_core::{Fault, Result};

use crate::ColumnType;

/// What is known of a column beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its texts are.
    pub kind: ColumnType,
    /// How dates and times are written, as for `strftime` (`%d.%m.%Y %H:%M`);
    /// `None`: ISO 8601. Only for `date`, `time`, `timestamp` and
    /// `timestamptz`.
    pub format: Option<String>,
    /// Texts that are NULL in this column, beside those of the file as a whole.
    /// In CSV only where they are not quoted.
    pub nulls: Vec<String>,
}

impl Column {
    /// A column of that type.
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self { name: name.into(), kind, format: None, nulls: Vec::new() }
    }
}

/// Refuses a name that comes twice.
pub(crate) fn refuse_twice<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => {
            Err(Fault::config(format!("column {name:?} is described twice")).with_column(name))
        }
    }
}
