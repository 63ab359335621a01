//! Values as text.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use kiln_core::{Cell, CellColumn, Result};

/// A column of a batch whose values are written as text, to the last digit.
pub(super) struct TextColumn<'a> {
    cells: CellColumn<'a>,
    /// Where timestamps are finer than a cell's.
    array: &'a dyn Array,
}

/// A value as it is written.
pub(super) struct Written<'a> {
    pub(super) cell: Cell<'a>,
    /// Nanoseconds behind a timestamp's last microsecond.
    nanos: i64,
}

impl<'a> TextColumn<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Vec<Self>> {
        let cells = CellColumn::of(batch)?.into_iter();
        let arrays = batch.columns().iter().map(AsRef::as_ref);
        Ok(cells.zip(arrays).map(|(cells, array)| Self { cells, array }).collect())
    }

    pub(super) fn value(&self, row: usize) -> Written<'a> {
        let cell = self.cells.cell(row);
        let nanos = match (&cell, self.array.data_type()) {
            (Cell::Timestamp(..), DataType::Timestamp(TimeUnit::Nanosecond, _)) => {
                self.array.as_primitive::<TimestampNanosecondType>().value(row).rem_euclid(1_000)
            }
            _ => 0,
        };
        Written { cell, nanos }
    }
}

impl fmt::Display for Written<'_> {
    /// As [`Cell`], and nanoseconds where there are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell::Timestamp(us, utc) = self.cell else { return self.cell.fmt(f) };
        if self.nanos == 0 {
            return self.cell.fmt(f);
        }
        let whole = Cell::Timestamp(us, false).to_string();
        let point = if whole.contains('.') { "" } else { ".000000" };
        write!(f, "{whole}{point}{:03}{}", self.nanos, if utc { "+00" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_kept() {
        let text = |us, utc, nanos| Written { cell: Cell::Timestamp(us, utc), nanos }.to_string();
        assert_eq!(text(0, false, 7), "1970-01-01 00:00:00.000000007");
        assert_eq!(text(1, true, 7), "1970-01-01 00:00:00.000001007+00");
        assert_eq!(text(-1, true, 0), "1969-12-31 23:59:59.999999+00");
    }
}
