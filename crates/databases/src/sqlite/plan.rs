//! How a declared write becomes a statement, and what speaks against it.

use arrow_schema::{DataType, Schema};
use kiln_core::{Check, Fault, Mode, Result, Write};
use rusqlite::Connection;

use super::number::ADD;
use super::session::at;
use super::table::{Column, Table};
use super::types::{Fit, Takes, fit};
use crate::fit::{misfit, unwritten_mode};
use crate::names::{quoted, quoted_list, quoted_table};

/// One write, ready to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// The table, for messages.
    pub(super) table: String,
    /// The statement for one row.
    pub(super) sql: String,
    /// What the row's values go into.
    pub(super) columns: Vec<Target>,
    /// How many columns are the key by which rows are added up first.
    pub(super) sum_by: Option<usize>,
}

/// A column that values go into.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) takes: Takes,
}

/// The plans of all writes.
///
/// # Errors
/// The first thing that speaks against one of them.
pub(super) fn plans(
    connection: &Connection,
    writes: &[Write],
    items: &Schema,
) -> Result<Vec<Plan>> {
    writes
        .iter()
        .map(|write| {
            let (checks, plan) = look(connection, write, items);
            checks.into_iter().try_for_each(|check| check.result.map(drop))?;
            plan.ok_or_else(|| Fault::bug(format!("there is no plan for table {}", write.table)))
        })
        .collect()
}

/// All there is to say of a write, and its plan if nothing speaks against it.
pub(super) fn look(
    connection: &Connection,
    write: &Write,
    items: &Schema,
) -> (Vec<Check>, Option<Plan>) {
    let what = format!("table {}", write.table);
    let table = match Table::find(connection, &write.table) {
        Ok(table) => table,
        Err(fault) => return (vec![Check::fail(what, fault)], None),
    };
    let mut checks = vec![Check::pass(what)];
    checks.extend(mode_checks(&table, write));
    checks.extend(column_checks(&table, write, items));
    if checks.iter().any(|check| check.result.is_err()) {
        return (checks, None);
    }
    // SQLite has the last word: it reads the statement.
    let plan = plan(&table, write, items).and_then(|plan| {
        connection.prepare(&plan.sql).map_err(at(format_args!("table {}", write.table)))?;
        Ok(plan)
    });
    match plan {
        Ok(plan) => (checks, Some(plan)),
        Err(fault) => {
            checks.push(Check::fail(format!("{} into {}", write.mode.as_str(), table.name), fault));
            (checks, None)
        }
    }
}

fn mode_checks(table: &Table, write: &Write) -> Option<Check> {
    match write.mode {
        Mode::Insert => None,
        Mode::Increment => {
            let what = format!("{}: key ({}) is unique", table.name, write.key.join(", "));
            Some(match key_fault(table, write) {
                None => Check::pass(what),
                Some(fault) => Check::fail(what, fault),
            })
        }
        mode => {
            let what = format!("{}: mode {}", table.name, mode.as_str());
            Some(Check::fail(what, unwritten_mode(write)))
        }
    }
}

fn key_fault(table: &Table, write: &Write) -> Option<Fault> {
    let leads = write.columns.len() > write.key.len()
        && !write.key.is_empty()
        && write.key.iter().zip(&write.columns).all(|(key, c)| *key == c.column);
    if !leads {
        return Some(
            Fault::config(format!("{}: an increment needs a key and something to add", table.name))
                .with_hint("name the key's columns first, then what is added"),
        );
    }
    let there = write.key.iter().all(|key| table.column(key).is_some());
    let unique = table.is_unique(write.key.iter().map(String::as_str));
    (there && !unique).then(|| table.not_unique(&write.key))
}

/// One line for each column that does not fit or needs a remark, or one for all
/// of them.
fn column_checks(table: &Table, write: &Write, items: &Schema) -> Vec<Check> {
    let mut checks = Vec::new();
    for (index, target) in write.columns.iter().enumerate() {
        let what = format!("{}.{}", table.name, target.column);
        let added = write.mode == Mode::Increment && index >= write.key.len();
        let fit = column_fit(table, &target.column, &target.from, items, added);
        match fit {
            Ok(None) => {}
            Ok(Some(note)) => checks.push(Check::note(what, note)),
            Err(fault) => checks.push(Check::fail(what, fault)),
        }
    }
    for column in left_out(table, write) {
        let what = format!("{}.{}", table.name, column.name);
        let fault = Fault::config(format!("{what} is NOT NULL, and the write leaves it out"))
            .with_column(&column.name)
            .with_hint("add it to the write's columns, or give it a default");
        checks.push(Check::fail(what, fault));
    }
    if checks.iter().all(|check| check.result.is_ok()) {
        let count = write.columns.len();
        let plural = if count == 1 { "column fits" } else { "columns fit" };
        checks.insert(0, Check::pass(format!("{}: {count} {plural}", table.name)));
    }
    checks
}

fn left_out<'a>(table: &'a Table, write: &'a Write) -> impl Iterator<Item = &'a Column> {
    let written = |c: &Column| write.columns.iter().any(|w| w.column.eq_ignore_ascii_case(&c.name));
    table.columns.iter().filter(move |c| c.required && !c.generated && !written(c))
}

fn column_fit(
    table: &Table,
    name: &str,
    from: &str,
    items: &Schema,
    added: bool,
) -> Result<Option<&'static str>> {
    let type_ = item_type(items, from)?;
    let column = table.column(name).ok_or_else(|| table.missing_column(name))?;
    if column.generated {
        return Err(Fault::config(format!("{}.{name} is computed by the database", table.name))
            .with_column(name)
            .with_hint("leave it out of the write's columns"));
    }
    let misfit = || misfit(&table.name, name, &column.declared, from, type_);
    let is_number = type_.is_numeric() || type_.is_null();
    if added && !is_number {
        return Err(misfit().with_hint("only numbers can be added; cast it in [map] sql"));
    }
    match fit(type_, column.takes) {
        Fit::Yes => Ok(None),
        Fit::Note(note) => Ok(Some(note)),
        Fit::No(None) => Err(misfit()),
        Fit::No(Some(why)) => Err(misfit().with_hint(why)),
    }
}

fn item_type<'a>(items: &'a Schema, from: &str) -> Result<&'a DataType> {
    items.field_with_name(from).map(|field| field.data_type()).map_err(|_| {
        let names: Vec<&str> = items.fields().iter().map(|f| f.name().as_str()).collect();
        Fault::config(format!("the items have no column {from}"))
            .with_hint(format!("their columns are {}", names.join(", ")))
    })
}

fn plan(table: &Table, write: &Write, items: &Schema) -> Result<Plan> {
    let columns = write
        .columns
        .iter()
        .map(|c| {
            let column = table.column(&c.column).ok_or_else(|| table.missing_column(&c.column))?;
            Ok(Target { name: column.name.clone(), takes: column.takes })
        })
        .collect::<Result<Vec<_>>>()?;
    let sum_by = (write.mode == Mode::Increment).then_some(write.key.len());
    Ok(Plan { table: table.name.clone(), sql: statement(write, items)?, columns, sum_by })
}

/// The statement for one row. `OR ABORT`: what the table itself declares, such
/// as `ON CONFLICT IGNORE`, would drop or replace rows without a word.
fn statement(write: &Write, items: &Schema) -> Result<String> {
    let table = quoted_table(&write.table)?;
    if write.columns.is_empty() {
        return Ok(format!("INSERT OR ABORT INTO {table} DEFAULT VALUES"));
    }
    let columns = quoted_list(write.columns.iter().map(|c| c.column.as_str()))?;
    let values = vec!["?"; write.columns.len()].join(", ");
    if write.mode != Mode::Increment {
        return Ok(format!("INSERT OR ABORT INTO {table} ({columns}) VALUES ({values})"));
    }
    let key = quoted_list(write.key.iter().map(String::as_str))?;
    let sums = write.columns[write.key.len()..]
        .iter()
        .map(|c| {
            let name = quoted(&c.column)?;
            Ok(if item_type(items, &c.from)?.is_floating() {
                format!("{name} = coalesce(kiln_row.{name}, 0) + excluded.{name}")
            } else {
                format!("{name} = {ADD}(kiln_row.{name}, excluded.{name})")
            })
        })
        .collect::<Result<Vec<_>>>()?
        .join(", ");
    Ok(format!(
        "INSERT OR ABORT INTO {table} AS kiln_row ({columns}) VALUES ({values})
         ON CONFLICT ({key}) DO UPDATE SET {sums}"
    ))
}
