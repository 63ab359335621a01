//! Rows on their way into a table, many in one statement.

use arrow_array::RecordBatch;
use kiln_core::{CellColumn, Fault, Kind, Refusal, Result, crash_point, is_to_crash};

use super::encode::{check_value, push_literal};
use super::fault::{DbError, fault};
use super::session::Session;
use super::table::Column;

/// Statements grow no longer, unless one row is: longer ones are no faster.
const LONGEST: usize = 1 << 20;

/// What the server wants left in a packet for itself.
const MARGIN: usize = 64;

/// An `INSERT` of a certain kind into a certain table.
pub(super) struct Insert {
    /// The table, as people write it.
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    /// What stands before the rows.
    pub(super) head: String,
    /// What stands behind them.
    pub(super) tail: String,
    /// Whether rows begin with their number, from 0.
    pub(super) numbered: bool,
}

impl Insert {
    /// Sends the rows; `items` are those behind each row, where one is.
    pub(super) async fn send(
        &self,
        session: &mut Session,
        batch: &RecordBatch,
        items: &[Option<u64>],
        halfway: &mut Halfway,
    ) -> Result<(), Refusal> {
        let columns = CellColumn::of(batch)?;
        let packet = session.facts().packet.saturating_sub(MARGIN);
        let mut sql = self.head.clone();
        let mut first = 0;
        for row in 0..batch.num_rows() {
            let before = sql.len();
            sql.push_str(if row == first { "(" } else { ",(" });
            self.push_row(&mut sql, &columns, row, items)?;
            if row > first && sql.len() + self.tail.len() > LONGEST.min(packet) {
                let row_sql = sql.split_off(before);
                self.finish(session, &mut sql, items, first).await?;
                sql.push_str(&row_sql[1..]);
                first = row;
            }
            if sql.len() + self.tail.len() > packet {
                return Err(self.too_large(items, row));
            }
            if halfway.passed_by(1) {
                self.finish(session, &mut sql, items, first).await?;
                first = row + 1;
                crash_point("write");
            }
        }
        if first < batch.num_rows() {
            self.finish(session, &mut sql, items, first).await?;
        }
        Ok(())
    }

    fn push_row(
        &self,
        sql: &mut String,
        columns: &[CellColumn<'_>],
        row: usize,
        items: &[Option<u64>],
    ) -> Result<(), Refusal> {
        if self.numbered {
            sql.push_str(&row.to_string());
        }
        for (i, (cells, column)) in columns.iter().zip(&self.columns).enumerate() {
            if i > 0 || self.numbered {
                sql.push(',');
            }
            let cell = cells.cell(row);
            if let Err(fault) = check_value(cell, column) {
                let fault = fault.at(format_args!("{}.{}", self.table, column.name));
                return Err(Refusal::of(items.get(row).copied().flatten(), fault));
            }
            push_literal(sql, cell, column.family);
        }
        sql.push(')');
        Ok(())
    }

    /// Sends what is there, and begins anew.
    async fn finish(
        &self,
        session: &mut Session,
        sql: &mut String,
        items: &[Option<u64>],
        first: usize,
    ) -> Result<(), Refusal> {
        sql.push_str(&self.tail);
        let done = match session.run(sql).await {
            Ok(done) => done,
            Err(error) => {
                let row = session.refused_row(&error).await;
                return Err(refusal(&self.table, &error, row.map(|r| r + first), items));
            }
        };
        sql.truncate(self.head.len());
        match session.silent_change(done).await {
            Ok(None) => Ok(()),
            Ok(Some(warning)) => {
                let row = warning.row().map(|r| r + first);
                Err(refusal(&self.table, &warning, row, items))
            }
            Err(error) => Err(fault(&error).into()),
        }
    }

    fn too_large(&self, items: &[Option<u64>], row: usize) -> Refusal {
        let fault = Fault::item("the row is larger than the server's max_allowed_packet")
            .with_code("1153")
            .with_hint("raise max_allowed_packet on the server")
            .at(&self.table);
        Refusal::of(items.get(row).copied().flatten(), fault)
    }
}

/// The refusal of a failed statement: `row`, counted from 1, is the one at
/// fault.
pub(super) fn refusal(
    table: &str,
    error: &DbError,
    row: Option<usize>,
    items: &[Option<u64>],
) -> Refusal {
    let fault = fault(error);
    if fault.kind() != Kind::Item {
        let lost = fault.kind() == Kind::Unreachable;
        return Refusal::from(if lost { fault } else { fault.at(table) });
    }
    let fault = match fault.column().map(str::to_owned) {
        Some(column) => fault.at(format_args!("{table}.{column}")),
        None => fault.at(table),
    };
    let row = row.and_then(|row| row.checked_sub(1));
    Refusal::of(row.and_then(|row| items.get(row).copied().flatten()), fault)
}

/// Knows when half of a unit's rows are written. Only a build that can crash
/// there looks: a statement more for each unit is a price.
pub(super) struct Halfway {
    left: Option<usize>,
}

impl Halfway {
    /// Of so many rows.
    pub(super) fn of(rows: usize) -> Self {
        Self { left: is_to_crash().then_some(rows.div_ceil(2)) }
    }

    /// Of none that matter.
    pub(super) fn never() -> Self {
        Self { left: None }
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
