//! Which rows of a write have the same key, as the table would compare them.

use kiln_core::{CellColumn, Refusal, Rows};
use rusqlite::Connection;

use super::plan::{Plan, Target};
use super::session::at;
use super::write::bind_row;
use crate::names::{quoted, quoted_list};
use crate::same_keys::SameKeys;

const START: &str = "DROP TABLE IF EXISTS temp.kiln_keys";

/// Puts the keys into a table of their own, which compares them as the table of
/// the write does.
pub(super) fn same_keys(
    connection: &Connection,
    plan: &Plan,
    rows: &Rows,
) -> Result<SameKeys, Refusal> {
    if rows.len() < 2 {
        return Ok(SameKeys::new(rows.len(), []));
    }
    let fault = |e| at(format_args!("the keys for {}", plan.table))(e);
    let keys: Vec<Target> = plan.keys.iter().map(|i| plan.columns[*i].clone()).collect();
    let columns = CellColumn::of(&rows.batch)?;
    let columns: Vec<CellColumn<'_>> = plan.keys.iter().map(|i| columns[*i]).collect();
    connection.execute_batch(&format!("{START}; {}", table(&keys)?)).map_err(fault)?;
    let key = quoted_list(keys.iter().map(|k| k.name.as_str()))?;
    let given = vec!["?"; keys.len()].join(", ");
    // A row that is there stays, and says its number.
    let mut add = connection
        .prepare_cached(&format!(
            "INSERT INTO temp.kiln_keys ({key}) VALUES ({given}) \
             ON CONFLICT ({key}) DO UPDATE SET \"kiln row\" = \"kiln row\" RETURNING \"kiln row\""
        ))
        .map_err(fault)?;
    let mut text = String::new();
    let mut firsts: Vec<usize> = Vec::new();
    let mut repeats = Vec::new();
    for row in 0..rows.len() {
        bind_row(&mut add, &plan.table, &keys, &columns, row, &mut text)
            .map_err(|fault| Refusal::of(Some(rows.ordinals[row]), fault))?;
        let number: usize = add
            .raw_query()
            .next()
            .and_then(|found| found.map_or(Ok(0), |found| found.get(0)))
            .map_err(fault)?;
        match firsts.get(number.wrapping_sub(1)) {
            Some(first) => repeats.push((row, *first)),
            None => firsts.push(row),
        }
    }
    drop(add);
    connection.execute_batch(START).map_err(fault)?;
    Ok(SameKeys::new(rows.len(), repeats))
}

/// A table whose rows are numbered in the order in which they come.
fn table(keys: &[Target]) -> Result<String, Refusal> {
    let mut columns = String::new();
    for key in keys {
        let (name, collation) = (quoted(&key.name)?, quoted(&key.collation)?);
        columns.push_str(&format!("{name} {} COLLATE {collation}, ", key.takes.affinity()));
    }
    let key = quoted_list(keys.iter().map(|k| k.name.as_str()))?;
    Ok(format!(
        "CREATE TEMP TABLE kiln_keys (\"kiln row\" INTEGER PRIMARY KEY, {columns}UNIQUE ({key}))"
    ))
}
