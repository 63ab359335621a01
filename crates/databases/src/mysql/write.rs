//! One write of a step, ready to be done on its connection.

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use kiln_core::{Check, Fault, Mode, Refusal, Result, Rows, Write, crash_point};

use super::by_key::ByKey;
use super::check::check_write;
use super::fault::fault;
use super::insert::{Halfway, Insert};
use super::load::Load;
use super::session::Session;
use super::statement::Shape;
use super::table::{Column, Table, no_table};
use crate::statements::{no_item, texts};

/// A write, ready to be done on the connection that prepared it.
pub(super) struct Writer {
    /// As people write it.
    table: String,
    /// The columns' names, as the write has them.
    names: Vec<String>,
    how: How,
}

enum How {
    Insert(Insert, Load),
    ByKey(Box<ByKey>),
    Statements,
}

impl Writer {
    /// Runs rows, which are statements.
    pub(super) fn of_statements() -> Self {
        Self { table: "statement".to_owned(), names: Vec::new(), how: How::Statements }
    }

    /// Looks the table up and prepares the write.
    ///
    /// # Errors
    /// The first thing that [`check_write`] finds wrong.
    pub(super) async fn prepare(
        session: &mut Session,
        write: &Write,
        items: &Schema,
    ) -> Result<Self> {
        let table = Table::find(session, &write.table).await?;
        let wrong = |check: Check| check.result.err();
        if let Some(fault) = check_write(table.as_ref(), write, items).into_iter().find_map(wrong) {
            return Err(fault);
        }
        let table = table.ok_or_else(|| no_table(&write.table))?;
        let (columns, keys) = columns_and_keys(&table, write);
        let row_alias = session.facts().has_row_alias();
        let shape = Shape { table: &table.sql, columns: &columns, keys: &keys, row_alias };
        let how = match write.mode {
            Mode::Insert => {
                let insert = Insert {
                    table: write.table.to_string(),
                    head: shape.insert()?,
                    tail: String::new(),
                    numbered: false,
                    columns: columns.clone(),
                };
                let load = Load::of(&table.sql, &insert)?;
                How::Insert(insert, load)
            }
            _ => How::ByKey(Box::new(ByKey::prepare(session, write, &table, &shape).await?)),
        };
        let names = write.columns.iter().map(|c| c.column.clone()).collect();
        Ok(Self { table: write.table.to_string(), names, how })
    }

    /// Refuses items that are at fault whatever is in the table.
    pub(super) async fn refuse_early(
        &self,
        session: &mut Session,
        rows: &Rows,
    ) -> Result<(), Refusal> {
        if matches!(self.how, How::Statements) {
            return Ok(());
        }
        self.same_columns(&rows.batch)?;
        match &self.how {
            How::Insert(..) | How::Statements => Ok(()),
            How::ByKey(write) => write.refuse_early(session, rows).await,
        }
    }

    /// Writes the rows in the transaction at hand; gives the numbers of those
    /// that were passed over.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        rows: &Rows,
        halfway: &mut Halfway,
    ) -> Result<Vec<usize>, Refusal> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match &self.how {
            How::Insert(insert, load) => {
                let items: Vec<Option<u64>> = rows.ordinals.iter().copied().map(Some).collect();
                if !load.try_send(session, insert, &rows.batch, &items).await? {
                    insert.send(session, &rows.batch, &items, halfway).await?;
                } else if halfway.passed_by(rows.len()) {
                    crash_point("write");
                }
                Ok(Vec::new())
            }
            How::ByKey(write) => write.write(session, rows, halfway).await,
            How::Statements => {
                for sql in texts(rows)? {
                    // As one that is prepared: so it is one statement only.
                    session.change(sql, ()).await.map_err(|e| no_item(fault(&e)))?;
                }
                if halfway.passed_by(rows.len()) {
                    crash_point("write");
                }
                Ok(Vec::new())
            }
        }
    }

    fn same_columns(&self, batch: &RecordBatch) -> Result<()> {
        let theirs = batch.schema_ref().fields().iter().map(|f| f.name());
        if theirs.eq(&self.names) {
            return Ok(());
        }
        Err(Fault::bug(format!(
            "a unit's rows for {} have other columns than its write",
            self.table
        )))
    }
}

/// The table's columns that a write has, in its order, and which of them are its
/// key.
pub(super) fn columns_and_keys(table: &Table, write: &Write) -> (Vec<Column>, Vec<usize>) {
    let columns: Vec<Column> =
        write.columns.iter().filter_map(|c| table.column(&c.column).cloned()).collect();
    let place = |key: &String| {
        let key = table.column(key)?;
        columns.iter().position(|c| c.name == key.name)
    };
    let keys = write.key.iter().filter_map(place).collect();
    (columns, keys)
}
