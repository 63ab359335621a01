//! The rows of a unit on their way into their tables.

use arrow_array::RecordBatch;
use kiln_core::{
    CellColumn, Duplicates, Fault, Mode, Refusal, Rejection, Result, Rows, crash_point,
};
use rusqlite::{CachedStatement, Connection};

use super::plan::{Plan, Plans, Target};
use super::same_keys::same_keys;
use super::session::at;
use super::{fault, types};
use crate::same_keys::{not_found, null_keys, repeated, resolve};
use crate::sums::sum_by_key;
use crate::written::Written;

/// Writes the rows of all writes; gives how many of the items had nothing
/// written.
pub(super) fn write(
    connection: &Connection,
    plans: &Plans,
    writes: &[Rows],
    items: &[u64],
    halfway: &mut Halfway,
) -> Result<u64, Refusal> {
    let all = &plans.all;
    if all.len() != writes.len() {
        let (planned, given) = (all.len(), writes.len());
        return Err(Fault::bug(format!("{planned} writes, but a unit with {given}")).into());
    }
    for (plan, rows) in all.iter().zip(writes) {
        refuse_early(connection, plan, rows)?;
    }
    let mut written = Written::new(&plans.order);
    for i in &plans.order.first {
        let passed = write_rows(connection, &all[*i], &writes[*i], halfway)?;
        written.add(&writes[*i], &passed);
    }
    let known = written.nothing_of(items);
    for i in &plans.order.then {
        let rows = writes[*i].without(&known)?;
        write_rows(connection, &all[*i], &rows, halfway)?;
        written.add(&rows, &[]);
    }
    Ok(written.nothing_of(items).len() as u64)
}

/// Refuses items that are at fault whatever is in the table.
fn refuse_early(connection: &Connection, plan: &Plan, rows: &Rows) -> Result<(), Refusal> {
    Refusal::unless_none(null_keys(&plan.keyed, rows, &plan.keys)?)?;
    if !plan.mode.has_duplicates() || plan.on_duplicate != Duplicates::Reject {
        return Ok(());
    }
    let repeats = same_keys(connection, plan, rows)?.repeats();
    Refusal::unless_none(repeated(&plan.keyed, rows, &repeats))
}

/// Writes the rows of one write; gives the numbers of those passed over.
fn write_rows(
    connection: &Connection,
    plan: &Plan,
    rows: &Rows,
    halfway: &mut Halfway,
) -> Result<Vec<usize>, Refusal> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if plan.mode == Mode::Increment {
        let sums = sum_by_key(rows, plan.keys.len())?;
        return write_batch(connection, plan, &sums, |_| None, halfway).map(|_| Vec::new());
    }
    let early = matches!(plan.on_duplicate, Duplicates::First | Duplicates::Sum);
    if plan.mode.has_duplicates() && early {
        let same = same_keys(connection, plan, rows)?;
        let (turns, passed) = resolve(rows, &same, plan.on_duplicate, &plan.keys)?;
        for turn in turns {
            // Of a sum nobody knows which of its items is at fault.
            let item = |row: usize| match turn.items.get(row).map(Vec::as_slice) {
                Some([only]) => Some(*only),
                _ => None,
            };
            let missing = write_batch(connection, plan, &turn.batch, item, halfway)?;
            let items = missing.iter().filter_map(|row| turn.items.get(*row)).flatten();
            Refusal::unless_none(not_found(&plan.keyed, items.copied()))?;
        }
        return Ok(passed);
    }
    // One after another: so the last one stays, or finds the first one there.
    let item = |row: usize| rows.ordinals.get(row).copied();
    let unchanged = write_batch(connection, plan, &rows.batch, item, halfway)?;
    if plan.mode == Mode::Ignore {
        return Ok(unchanged);
    }
    let missing: Vec<Rejection> = not_found(&plan.keyed, unchanged.into_iter().filter_map(item));
    Refusal::unless_none(missing)?;
    Ok(Vec::new())
}

/// Writes each row; gives the numbers of those that changed nothing, where that
/// may be.
fn write_batch(
    connection: &Connection,
    plan: &Plan,
    batch: &RecordBatch,
    item: impl Fn(usize) -> Option<u64>,
    halfway: &mut Halfway,
) -> Result<Vec<usize>, Refusal> {
    let table = format_args!("table {}", plan.table);
    let mut statement = connection.prepare_cached(&plan.sql).map_err(at(table))?;
    let columns = CellColumn::of(batch)?;
    let mut text = String::new();
    let mut unchanged = Vec::new();
    for row in 0..batch.num_rows() {
        let changed = write_row(&mut statement, plan, &columns, row, &mut text)
            .map_err(|fault| Refusal::of(item(row), fault))?;
        if !changed {
            unchanged.push(row);
        }
        halfway.step();
    }
    Ok(unchanged)
}

/// Writes a row; false if it changed nothing, where that may be.
fn write_row(
    statement: &mut CachedStatement<'_>,
    plan: &Plan,
    columns: &[CellColumn<'_>],
    row: usize,
    text: &mut String,
) -> Result<bool> {
    bind_row(statement, &plan.table, &plan.columns, columns, row, text)?;
    match (statement.raw_execute(), plan.mode) {
        (Ok(0), Mode::Ignore | Mode::Update) => Ok(false),
        (Ok(0), Mode::Insert | Mode::Upsert | Mode::Increment) => {
            Err(Fault::item(format!("{}: a trigger of the table dropped the row", plan.table))
                .with_code("dropped"))
        }
        (Ok(_), _) => Ok(true),
        (Err(error), _) => Err(fault::classify(error).at(format_args!("table {}", plan.table))),
    }
}

/// Binds the values of a row to the statement's parameters, in order; `text` is
/// room for values that are written as text.
pub(super) fn bind_row(
    statement: &mut CachedStatement<'_>,
    table: &str,
    targets: &[Target],
    columns: &[CellColumn<'_>],
    row: usize,
    text: &mut String,
) -> Result<()> {
    for (index, (column, target)) in columns.iter().zip(targets).enumerate() {
        text.clear();
        let value = types::value(column.cell(row), target.takes, text).map_err(|why| {
            Fault::item(format!("{table}.{} {why}", target.name))
                .with_code("does_not_fit")
                .with_column(&target.name)
        })?;
        statement
            .raw_bind_parameter(index + 1, value)
            .map_err(at(format_args!("{table}.{}", target.name)))?;
    }
    Ok(())
}

/// Crashes, where a test wants it, when half of a unit's rows are written.
pub(super) struct Halfway {
    left: usize,
}

impl Halfway {
    /// Of these rows.
    pub(super) fn of(writes: &[Rows]) -> Self {
        let total: usize = writes.iter().map(Rows::len).sum();
        Self { left: (total / 2).max(1) }
    }

    /// Of rows that are only tried.
    pub(super) fn never() -> Self {
        Self { left: 0 }
    }

    fn step(&mut self) {
        if self.left == 1 {
            crash_point("write");
        }
        self.left = self.left.saturating_sub(1);
    }

    /// All rows are written, which may be fewer than there were items.
    pub(super) fn end(&mut self) {
        if self.left > 0 {
            crash_point("write");
        }
    }
}
