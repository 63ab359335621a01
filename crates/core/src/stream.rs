//! Items of several kinds of rows: an order and its lines.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray};

use crate::{Fault, Items, Result};

/// The column that says of which *stream* a row is: a text, NULL for the row of
/// the item itself. Items whose rows are all of one kind have no such column.
///
/// Rows of an item follow one another: a row, then those that were made of it.
pub const STREAM: &str = "_stream";

impl Items {
    /// For each row, whether it is of this stream (`None`: the item itself).
    ///
    /// # Errors
    /// A [`Kind::Bug`](crate::Kind::Bug) if [`STREAM`] is no text.
    pub fn is_of(&self, stream: Option<&str>) -> Result<BooleanArray> {
        let Some(column) = self.batch.column_by_name(STREAM) else {
            return Ok(BooleanArray::from(vec![stream.is_none(); self.len()]));
        };
        let streams = column
            .as_string_opt::<i32>()
            .ok_or_else(|| Fault::bug(format!("the column {STREAM} is no text")))?;
        let of = |row| streams.is_valid(row).then(|| streams.value(row));
        Ok((0..self.len()).map(|row| Some(of(row) == stream)).collect())
    }

    /// The rows of this stream (`None`: those of the items themselves).
    ///
    /// # Errors
    /// As [`is_of`](Items::is_of).
    pub fn of_stream(&self, stream: Option<&str>) -> Result<Self> {
        if stream.is_none() && self.batch.column_by_name(STREAM).is_none() {
            return Ok(self.clone());
        }
        self.filter(&self.is_of(stream)?)
    }
}
