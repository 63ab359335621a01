//! Tables that items refer to, found or created on the way.

use arrow_array::RecordBatch;
use async_trait::async_trait;

use crate::{Cell, Result, TableName};

/// A key of a catalog's row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// An integer.
    Int(i64),
    /// Anything else, as the database writes it.
    Text(String),
}

impl Key {
    /// The key as a cell.
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Self::Int(i) => Cell::Int(*i),
            Self::Text(t) => Cell::Text(t),
        }
    }
}

/// Which table, and which of its columns take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogSpec {
    /// The table.
    pub table: TableName,
    /// The column that items refer to.
    pub key: String,
    /// The columns by which a row is found. A unique constraint over them
    /// exists: it is what makes creation idempotent. Empty where all rows are
    /// loaded and none is created.
    pub on: Vec<String>,
    /// Columns that are loaded beside them, to compare rows by.
    pub compare: Vec<String>,
    /// The columns filled in a new row, `on` among them; empty where rows are
    /// only found.
    pub create: Vec<String>,
}

/// How large a catalog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CatalogSize {
    /// Its rows.
    pub rows: u64,
    /// The bytes of the texts that [`Catalog::load`] gives.
    pub bytes: u64,
}

/// A catalog in the target.
///
/// Where the target has a set-up script that has not run yet, the catalog
/// answers as if it had, and changes nothing.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Whether the key is an integer.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::Kind::Config) if there is no such table, column
    /// or unique constraint.
    async fn key_is_integer(&self) -> Result<bool>;

    /// How large it is, without loading it.
    ///
    /// # Errors
    /// If the table can't be read.
    async fn size(&self) -> Result<CatalogSize>;

    /// All rows: the key of each, and its values as text, those of `on`, then
    /// those of `compare`.
    ///
    /// # Errors
    /// If the table can't be read.
    async fn load(&self) -> Result<Vec<(Key, Vec<Option<String>>)>>;

    /// Makes sure that rows with these values (columns `create`, in order) are
    /// there, committed, and gives the key of each. A row that is there already
    /// stays as it is and gives its key. What the database refuses for its
    /// values is the inner error, of [`Kind::Item`](crate::Kind::Item), and
    /// keeps no other row from being created.
    ///
    /// # Errors
    /// What concerns all rows. Rows may have been created then; calling again
    /// finds them.
    async fn find_or_create(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>>;

    /// The same, up to the first row that the database refuses: the answers end
    /// with it, and nothing behind it is created.
    ///
    /// # Errors
    /// As [`find_or_create`](Catalog::find_or_create).
    async fn find_or_create_in_order(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        let mut keys = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            keys.extend(self.find_or_create(&rows.slice(row, 1)).await?);
            if keys.last().is_some_and(Result::is_err) {
                break;
            }
        }
        Ok(keys)
    }
}
