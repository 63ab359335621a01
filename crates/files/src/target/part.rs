//! Parts, and their rows in the book.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use kiln_core::{
    Cell, CellColumn, Chunk, Duplicates, Fault, Mode, Result, RunId, Span, TableName, Write,
    WriteColumn,
};

/// The rows of one table in one unit, as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) step: String,
    pub(super) lane: u32,
    pub(super) table: String,
    /// The items that it is of.
    pub(super) span: Span,
    /// Its name when it is shown, and its name before.
    pub(super) file: String,
    pub(super) staged: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// As hexadecimal digits.
    pub(super) sha256: String,
    /// What a reader must know: JSON.
    pub(super) layout: String,
}

/// The table of the book that holds parts.
pub(super) const TABLE: &str = "kiln_parts";

/// Its columns: name, whether it is a number.
const COLUMNS: [(&str, bool); 12] = [
    ("run", false),
    ("file", false),
    ("step", false),
    ("lane", true),
    ("table_name", false),
    ("first_item", true),
    ("last_item", true),
    ("row_count", true),
    ("byte_count", true),
    ("sha256", false),
    ("staged", false),
    ("layout", false),
];

/// The statement that makes the table, in the words of every database.
pub(super) const SCRIPT: &str = "CREATE TABLE IF NOT EXISTS kiln_parts (
    run VARCHAR(64) NOT NULL,
    file VARCHAR(400) NOT NULL,
    step TEXT NOT NULL,
    lane BIGINT NOT NULL,
    table_name TEXT NOT NULL,
    first_item BIGINT NOT NULL,
    last_item BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    staged TEXT NOT NULL,
    layout TEXT NOT NULL,
    PRIMARY KEY (run, file)
);";

pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

/// The write that adds rows to the table.
pub(super) fn write() -> Write {
    let column = |name: &str| WriteColumn { column: name.to_owned(), from: name.to_owned() };
    Write {
        table: TableName { schema: None, name: TABLE.to_owned() },
        mode: Mode::Insert,
        columns: columns().map(column).collect(),
        key: Vec::new(),
        on_duplicate: Duplicates::default(),
        stream: None,
    }
}

/// The columns of the rows.
pub(super) fn schema() -> SchemaRef {
    let field = |(name, number): &(&str, bool)| {
        Field::new(*name, if *number { DataType::Int64 } else { DataType::Utf8 }, false)
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// The rows of some parts of a run.
pub(super) fn rows(run: &RunId, parts: &[Part]) -> Result<RecordBatch> {
    let text = |of: fn(&Part) -> &str| -> ArrayRef {
        Arc::new(parts.iter().map(|part| Some(of(part))).collect::<StringArray>())
    };
    let number = |of: fn(&Part) -> u64| -> Result<ArrayRef> {
        let numbers = parts.iter().map(|part| i64::try_from(of(part)));
        let numbers: Vec<i64> = numbers
            .collect::<Result<_, _>>()
            .map_err(|e| Fault::bug(format!("a part is too large: {e}")))?;
        Ok(Arc::new(Int64Array::from(numbers)))
    };
    let runs: ArrayRef =
        Arc::new(parts.iter().map(|_| Some(run.0.as_str())).collect::<StringArray>());
    let arrays = vec![
        runs,
        text(|p| &p.file),
        text(|p| &p.step),
        number(|p| p.lane.into())?,
        text(|p| &p.table),
        number(|p| p.span.from + 1)?,
        number(|p| p.span.to)?,
        number(|p| p.rows)?,
        number(|p| p.bytes)?,
        text(|p| &p.sha256),
        text(|p| &p.staged),
        text(|p| &p.layout),
    ];
    RecordBatch::try_new(schema(), arrays)
        .map_err(|e| Fault::bug(format!("the rows of parts are no batch: {e}")))
}

/// The parts that a chunk of the table's rows tells of.
pub(super) fn read(chunk: &Chunk) -> Result<Vec<Part>> {
    let batch = &chunk.items.batch;
    let odd = || Fault::config(format!("the table {TABLE} is not what kiln put there"));
    if let Some(failure) = chunk.failures.first() {
        return Err(failure.fault.clone());
    }
    let column = |name: &str| CellColumn::new(batch.column_by_name(name).ok_or_else(odd)?.as_ref());
    let columns = columns().map(column).collect::<Result<Vec<_>>>()?;
    let part = |row: usize| {
        let text = |i: usize| match columns[i].cell(row) {
            Cell::Text(text) => Ok(text.to_owned()),
            _ => Err(odd()),
        };
        let number = |i: usize| match columns[i].cell(row) {
            Cell::Int(n) => u64::try_from(n).map_err(|_| odd()),
            _ => Err(odd()),
        };
        let from = number(5)?.checked_sub(1).ok_or_else(odd)?;
        Ok(Part {
            file: text(1)?,
            step: text(2)?,
            lane: u32::try_from(number(3)?).map_err(|_| odd())?,
            table: text(4)?,
            span: Span { from, to: number(6)? },
            rows: number(7)?,
            bytes: number(8)?,
            sha256: text(9)?,
            staged: text(10)?,
            layout: text(11)?,
        })
    };
    (0..batch.num_rows()).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_core::{Items, NoOrigins, Position};

    #[test]
    fn parts_come_back_as_they_were() {
        let part = Part {
            step: "main".to_owned(),
            lane: 2,
            table: "s.orders".to_owned(),
            span: Span { from: 10, to: 25 },
            file: "s.orders-1.csv".to_owned(),
            staged: ".kiln/x".to_owned(),
            rows: 9,
            bytes: 1 << 40,
            sha256: "ab".to_owned(),
            layout: "{}".to_owned(),
        };
        let batch = rows(&RunId("r".to_owned()), std::slice::from_ref(&part)).unwrap();
        let items = Items { batch, ordinals: vec![1], origins: Arc::new(NoOrigins) };
        let at = Position::default();
        let chunk = Chunk { start: at.clone(), end: at, items, failures: Vec::new() };
        assert_eq!(read(&chunk).unwrap(), [part]);
    }
}
