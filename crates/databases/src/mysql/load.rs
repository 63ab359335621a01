//! Rows on their way into a table by `LOAD DATA LOCAL`, from memory.
//!
//! It is the fastest way in, and the most careless: with `LOCAL` the server
//! turns errors into warnings, leaves rows out and puts defaults in their place.
//! So it is undone at the first warning, and the rows go by `INSERT`, which says
//! what is wrong with which of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures_util::StreamExt as _;
use kiln_core::{CellColumn, Kind, Refusal, Result};

use super::encode::{check_value, push_field};
use super::fault::fault;
use super::insert::Insert;
use super::session::Session;
use super::statement::quoted;
use super::types::Family;

/// Fewer rows are as fast by `INSERT`.
const FEWEST: usize = 100;

/// After one that was undone, so many writes go by `INSERT` at once: they are
/// parts of the same chunk, or of one that is like it.
const DOUBT: usize = 16;

/// Bytes sent at a time.
const PIECE: usize = 256 << 10;

pub(super) struct Load {
    sql: String,
    /// How many more writes it is not used for.
    doubt: AtomicUsize,
}

impl Load {
    /// The load that does what an `INSERT` does. `table` is in quotes.
    pub(super) fn of(table: &str, insert: &Insert) -> Result<Self> {
        let mut takes = Vec::with_capacity(insert.columns.len());
        let mut sets = Vec::new();
        for (i, column) in insert.columns.iter().enumerate() {
            let name = quoted(&column.name)?;
            let set = match column.family {
                Family::Bytes(_) => Some(format!("{name} = UNHEX(@v{i})")),
                Family::Bit => Some(format!("{name} = CAST(@v{i} AS UNSIGNED)")),
                _ => None,
            };
            takes.push(if set.is_some() { format!("@v{i}") } else { name });
            sets.extend(set);
        }
        let sets =
            if sets.is_empty() { String::new() } else { format!(" SET {}", sets.join(", ")) };
        let sql = format!(
            "LOAD DATA LOCAL INFILE 'kiln' INTO TABLE {table} CHARACTER SET utf8mb4 \
             FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){sets}",
            takes.join(", ")
        );
        Ok(Self { sql, doubt: AtomicUsize::new(0) })
    }

    /// Loads the rows, if that goes without a warning; else nothing is changed,
    /// and the answer is false.
    pub(super) async fn try_send(
        &self,
        session: &mut Session,
        insert: &Insert,
        batch: &RecordBatch,
        items: &[Option<u64>],
    ) -> Result<bool, Refusal> {
        let doubt = self.doubt.load(Ordering::Relaxed);
        if doubt > 0 {
            self.doubt.store(doubt - 1, Ordering::Relaxed);
        }
        if doubt > 0 || batch.num_rows() < FEWEST || !session.facts().local_infile {
            return Ok(false);
        }
        let lines = lines(insert, batch, items)?;
        session.run("SAVEPOINT kiln_load").await.map_err(|e| fault(&e))?;
        let pieces: Vec<std::io::Result<Bytes>> =
            (0..lines.len()).step_by(PIECE).map(|at| Ok(piece(&lines, at))).collect();
        let loaded = session.load(&self.sql, futures_util::stream::iter(pieces).boxed()).await;
        match loaded {
            Ok(done) if done.is_clean() && done.rows == batch.num_rows() as u64 => return Ok(true),
            Ok(_) => self.doubt.store(DOUBT, Ordering::Relaxed),
            Err(error) => match fault(&error).kind() {
                Kind::Item => self.doubt.store(DOUBT, Ordering::Relaxed),
                // Somebody between here and the server does not let it through.
                Kind::Config | Kind::NotPermitted => {
                    self.doubt.store(usize::MAX, Ordering::Relaxed);
                }
                _ => return Err(fault(&error).at(&insert.table).into()),
            },
        }
        session.run("ROLLBACK TO SAVEPOINT kiln_load").await.map_err(|e| fault(&e))?;
        Ok(false)
    }
}

fn lines(insert: &Insert, batch: &RecordBatch, items: &[Option<u64>]) -> Result<Bytes, Refusal> {
    let columns = CellColumn::of(batch)?;
    let mut lines = String::new();
    for row in 0..batch.num_rows() {
        for (i, (cells, column)) in columns.iter().zip(&insert.columns).enumerate() {
            if i > 0 {
                lines.push('\t');
            }
            let cell = cells.cell(row);
            check_value(cell, column).map_err(|fault| {
                let fault = fault.at(format_args!("{}.{}", insert.table, column.name));
                Refusal::of(items.get(row).copied().flatten(), fault)
            })?;
            push_field(&mut lines, cell, column.family);
        }
        lines.push('\n');
    }
    Ok(Bytes::from(lines))
}

fn piece(lines: &Bytes, at: usize) -> Bytes {
    lines.slice(at..lines.len().min(at + PIECE))
}
