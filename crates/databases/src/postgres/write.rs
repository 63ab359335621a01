//! One write of a step, prepared: `COPY` for new rows, one statement for all
//! rows of a unit in the other modes.

use std::pin::pin;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use bytes::Bytes;
use futures_util::SinkExt;
use kiln_core::{CellColumn, Check, Fault, Kind, Mode, Refusal, Result, Rows, Write, crash_point};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Statement};

use super::by_key::ByKey;
use super::check::check_write;
use super::encode::{check_value, parameter, push_copy};
use super::fault::fault;
use super::statement::Shape;
use super::table::{Column, Table, no_table};
use crate::same_keys::{KeyedTable, null_keys};
use crate::sums::sum_by_key;

/// Bytes of rows sent at a time.
const BUFFER: usize = 256 << 10;

/// A write, ready to be done on the connection that prepared it.
pub(super) struct Writer {
    /// As people write it.
    table: String,
    /// The table's name alone, as the server says it in the context of an
    /// error.
    relation: String,
    columns: Vec<Column>,
    how: How,
}

enum How {
    Copy(Statement),
    Add { statement: Statement, keys: usize, keyed: KeyedTable },
    ByKey(ByKey),
}

impl Writer {
    /// Looks the table up and prepares the write.
    ///
    /// # Errors
    /// The first thing that [`check_write`] finds wrong.
    pub(super) async fn prepare(client: &Client, write: &Write, items: &Schema) -> Result<Self> {
        let table = Table::find(client, &write.table).await?;
        let wrong = |check: Check| check.result.err();
        if let Some(fault) = check_write(table.as_ref(), write, items).into_iter().find_map(wrong) {
            return Err(fault);
        }
        let table = table.ok_or_else(|| no_table(&write.table))?;
        let columns: Vec<Column> =
            write.columns.iter().filter_map(|c| table.column(&c.column).cloned()).collect();
        let keys: Vec<usize> = write
            .key
            .iter()
            .filter_map(|key| columns.iter().position(|c| c.name == *key))
            .collect();
        let shape = Shape { table: &table.sql, columns: &columns, keys: &keys };
        let how = How::prepare(client, write, &shape).await?;
        let (table, relation) = (write.table.to_string(), write.table.name.clone());
        Ok(Self { table, relation, columns, how })
    }

    /// Refuses items that are at fault whatever is in the table.
    pub(super) async fn refuse_early(&self, client: &Client, rows: &Rows) -> Result<(), Refusal> {
        self.same_columns(&rows.batch)?;
        match &self.how {
            How::Copy(_) => Ok(()),
            How::Add { keys, keyed, .. } => {
                let keys: Vec<usize> = (0..*keys).collect();
                Refusal::unless_none(null_keys(keyed, rows, &keys)?)
            }
            How::ByKey(write) => self.refuse_keys(client, write, rows).await,
        }
    }

    /// Writes the rows in the transaction at hand; gives the numbers of those
    /// that were passed over.
    pub(super) async fn write(
        &self,
        client: &Client,
        rows: &Rows,
        halfway: &mut Halfway,
    ) -> Result<Vec<usize>, Refusal> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match &self.how {
            How::Copy(statement) => {
                self.copy(client, statement, rows, halfway).await?;
                Ok(Vec::new())
            }
            How::Add { statement, keys, .. } => {
                self.check_rows(rows)?;
                self.add(client, statement, rows, *keys, halfway).await?;
                Ok(Vec::new())
            }
            How::ByKey(write) => {
                self.check_rows(rows)?;
                self.write_by_key(client, write, rows, halfway).await
            }
        }
    }

    fn same_columns(&self, batch: &RecordBatch) -> Result<()> {
        let theirs = batch.schema_ref().fields().iter().map(|f| f.name());
        if theirs.eq(self.columns.iter().map(|c| &c.name)) {
            return Ok(());
        }
        Err(Fault::bug(format!(
            "a unit's rows for {} have other columns than its write",
            self.table
        )))
    }

    async fn copy(
        &self,
        client: &Client,
        statement: &Statement,
        rows: &Rows,
        halfway: &mut Halfway,
    ) -> Result<(), Refusal> {
        let columns = CellColumn::of(&rows.batch)?;
        let server = |e: Error| self.refusal(&e, rows);
        let sink = client.copy_in::<_, Bytes>(statement).await.map_err(server)?;
        let mut sink = pin!(sink);
        let mut lines = String::with_capacity(BUFFER + BUFFER / 4);
        for row in 0..rows.len() {
            self.check_row(&columns, row, rows)?;
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    lines.push('\t');
                }
                push_copy(&mut lines, column.cell(row));
            }
            lines.push('\n');
            let is_half = halfway.passed_by(1);
            if is_half || lines.len() >= BUFFER {
                let full = std::mem::replace(&mut lines, String::with_capacity(BUFFER));
                sink.feed(Bytes::from(full)).await.map_err(server)?;
            }
            if is_half {
                sink.flush().await.map_err(server)?;
                crash_point("write");
            }
        }
        sink.feed(Bytes::from(lines)).await.map_err(server)?;
        let copied = sink.finish().await.map_err(server)?;
        // A trigger may drop a row on purpose; then the server counts less.
        tracing::trace!(table = %self.table, copied, "rows copied");
        Ok(())
    }

    /// Adds up in the unit first: one row a key. What the item takes for two
    /// keys may be one for the database (`'a'` and `'A'` in a citext), so it
    /// adds up again.
    async fn add(
        &self,
        client: &Client,
        statement: &Statement,
        rows: &Rows,
        keys: usize,
        halfway: &mut Halfway,
    ) -> Result<(), Refusal> {
        let sums = sum_by_key(rows, keys)?;
        let values = parameters(&sums)?;
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|v| v as &(dyn ToSql + Sync)).collect();
        client.execute(statement, &values).await.map_err(|e| self.refusal(&e, rows))?;
        if halfway.passed_by(rows.len()) {
            crash_point("write");
        }
        Ok(())
    }

    pub(super) fn check_rows(&self, rows: &Rows) -> Result<(), Refusal> {
        let columns = CellColumn::of(&rows.batch)?;
        (0..rows.len()).try_for_each(|row| self.check_row(&columns, row, rows))
    }

    fn check_row(
        &self,
        columns: &[CellColumn<'_>],
        row: usize,
        rows: &Rows,
    ) -> Result<(), Refusal> {
        columns.iter().zip(&self.columns).try_for_each(|(cells, column)| {
            check_value(cells.cell(row), column).map_err(|fault| {
                let fault = fault.at(format_args!("{}.{}", self.table, column.name));
                Refusal::of(Some(rows.ordinals[row]), fault)
            })
        })
    }

    /// The fault of a failed statement, with the item and the column where the
    /// server names them.
    pub(super) fn refusal(&self, error: &Error, rows: &Rows) -> Refusal {
        let mut fault = fault(error);
        if fault.kind() == Kind::Unreachable {
            return fault.into();
        }
        let context = error.as_db_error().and_then(|db| db.where_());
        let place = context.and_then(|c| place_in(c, &self.relation, &self.columns));
        let column = fault.column().map(str::to_owned).or(place.and_then(|p| p.column.cloned()));
        fault = match column {
            Some(column) => fault.at(format_args!("{}.{column}", self.table)).with_column(column),
            None => fault.at(&self.table),
        };
        let row = place.and_then(|p| p.line.checked_sub(1));
        Refusal::of(row.and_then(|row| rows.ordinals.get(row).copied()), fault)
    }
}

impl How {
    async fn prepare(client: &Client, write: &Write, shape: &Shape<'_>) -> Result<Self> {
        let prepare = async |sql: String, types: &[Type]| {
            client.prepare_typed(&sql, types).await.map_err(|e| fault(&e).at(&write.table))
        };
        Ok(match write.mode {
            Mode::Insert => Self::Copy(prepare(shape.copy()?, &[]).await?),
            Mode::Increment => Self::Add {
                statement: prepare(shape.add()?, &vec![Type::TEXT_ARRAY; shape.columns.len()])
                    .await?,
                keys: shape.keys.len(),
                keyed: KeyedTable::of(write),
            },
            _ => Self::ByKey(ByKey::prepare(client, write, shape).await?),
        })
    }
}

/// The columns of a batch as arrays of text.
pub(super) fn parameters(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let columns = CellColumn::of(batch)?;
    let texts = |c: &CellColumn<'_>| (0..batch.num_rows()).map(|r| parameter(c.cell(r))).collect();
    Ok(columns.iter().map(texts).collect())
}

/// Where in a COPY an error happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    /// Counted from 1.
    line: usize,
    column: Option<&'a String>,
}

/// Reads the context of an error, `COPY table, line 3, column price: "1.2.3"`,
/// in whatever language. The value in it is data and goes no further.
fn place_in<'a>(context: &str, table: &str, columns: &'a [Column]) -> Option<Place<'a>> {
    let start = format!("COPY {table}, ");
    let rest = context.lines().find_map(|line| line.strip_prefix(&start))?;
    let rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let line = rest[..end].parse().ok()?;
    let named = rest[end..].strip_prefix(", ").and_then(|r| r.split_once(' ')).map(|(_, r)| r);
    let is_named = |name: &str| {
        named.and_then(|r| r.strip_prefix(name)).is_some_and(|r| r.is_empty() || r.starts_with(':'))
    };
    Some(Place { line, column: columns.iter().map(|c| &c.name).find(|name| is_named(name)) })
}

/// Knows when half of a unit's rows are written.
pub(super) struct Halfway {
    left: Option<usize>,
}

impl Halfway {
    /// Of so many rows.
    pub(super) fn of(rows: usize) -> Self {
        Self { left: Some(rows.div_ceil(2)) }
    }

    /// So many more rows are written; true once, when half of all are.
    pub(super) fn passed_by(&mut self, rows: usize) -> bool {
        match self.left {
            Some(left) if left <= rows => {
                self.left = None;
                true
            }
            Some(left) => {
                self.left = Some(left - rows);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Family;
    use super::*;

    fn column(name: &str) -> Column {
        Column {
            name: name.into(),
            type_name: "integer".into(),
            cast: "integer".into(),
            collation: String::new(),
            family: Family::Int,
            not_null: false,
            by_itself: false,
            only_by_itself: false,
            may_select: true,
            may_insert: true,
            may_update: true,
        }
    }

    #[test]
    fn the_context_of_an_error_names_the_place() {
        let columns = [column("a"), column("a: b")];
        let (a, ab) = (Some(&columns[0].name), Some(&columns[1].name));
        let cases = [
            ("COPY t, line 3, column a: \"x\"", Some(Place { line: 3, column: a })),
            ("COPY t, line 12: \"1\\t2\"", Some(Place { line: 12, column: None })),
            ("COPY t, line 1, column a: b: null input", Some(Place { line: 1, column: a })),
            ("COPY t, Zeile 7, Spalte a: »x«", Some(Place { line: 7, column: a })),
            ("PL/pgSQL function f() line 3\nCOPY t, line 9", Some(Place { line: 9, column: None })),
            ("COPY other, line 3", None),
            ("", None),
        ];
        for (context, place) in cases {
            assert_eq!(place_in(context, "t", &columns), place, "{context}");
        }
        assert_eq!(place_in("COPY x, line 9, line 2", "x, line 9", &columns).unwrap().line, 2);
        let longer = [column("a: b")];
        let found = place_in("COPY t, line 1, column a: b: \"x\"", "t", &longer).unwrap();
        assert_eq!(found.column, ab);
    }

    #[test]
    fn half_is_passed_once() {
        let mut halfway = Halfway::of(5);
        assert_eq!([1; 6].map(|n| halfway.passed_by(n)), [false, false, true, false, false, false]);
        assert!(Halfway::of(4).passed_by(9));
    }
}
