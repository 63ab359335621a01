//! Which rows of a table are read, and in which order.

use std::time::Duration;

use crate::TableName;

/// A table as a source: its rows are the items, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// The table.
    pub table: TableName,
    /// The columns that are read; empty for all.
    pub columns: Vec<String>,
    /// A condition in the database's own SQL; rows for which it does not hold
    /// are no items.
    pub filter: Option<String>,
    /// The columns that rows are ordered by, unique together and without NULL;
    /// empty for the primary key.
    pub key: Vec<String>,
    /// Whether one start sees the table as it was at one moment.
    pub snapshot: bool,
    /// A column that rises with every change of a row. A run then reads only
    /// what lies behind the last complete run, in the order of this column and
    /// the key; rows in which it is NULL are no items.
    pub watermark: Option<String>,
    /// For how long after its watermark a row may still be on its way to being
    /// committed; a younger one is left to the next run.
    pub lag: Duration,
    /// How many connections read the table side by side, each a range of the
    /// key. With one, rows come in the order of their key; with several they
    /// come from each range in turn. From 1 to [`MOST_RANGES`](Self::MOST_RANGES).
    pub ranges: usize,
}

impl TableSpec {
    /// The most connections that read one table.
    pub const MOST_RANGES: usize = 64;

    /// All rows and columns of a table, by its primary key.
    pub fn new(table: TableName) -> Self {
        Self {
            table,
            columns: Vec::new(),
            filter: None,
            key: Vec::new(),
            snapshot: false,
            watermark: None,
            lag: Duration::ZERO,
            ranges: 1,
        }
    }
}
