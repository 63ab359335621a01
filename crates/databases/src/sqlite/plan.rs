//! How a declared write becomes a statement, and what speaks against it.

use arrow_schema::{DataType, Schema};
use kiln_core::{Check, Duplicates, Fault, Mode, Result, Write, WriteColumn};
use rusqlite::Connection;

use super::session::at;
use super::statement::statement;
use super::table::{Column, Table};
use super::types::{Fit, Takes, fit};
use crate::fit::{misfit, misshapen};
use crate::same_keys::KeyedTable;
use crate::written::Order;

/// The writes of a job, ready to be done.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) all: Vec<Plan>,
    pub(super) order: Order,
}

/// What a lane does with the rows of its units.
#[derive(Debug)]
pub(super) enum Work {
    Write(Plans),
    /// They are statements.
    Run,
}

/// One write, ready to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// The table, for messages.
    pub(super) table: String,
    /// The statement for one row.
    pub(super) sql: String,
    /// What the row's values go into.
    pub(super) columns: Vec<Target>,
    pub(super) mode: Mode,
    pub(super) on_duplicate: Duplicates,
    /// Which of the columns are the key.
    pub(super) keys: Vec<usize>,
    pub(super) keyed: KeyedTable,
}

/// A column that values go into.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) takes: Takes,
    /// How its texts are compared.
    pub(super) collation: String,
}

impl Target {
    pub(super) fn of(column: &Column) -> Self {
        let (name, collation) = (column.name.clone(), column.collation.clone());
        Self { name, takes: column.takes, collation }
    }
}

/// The plans of all writes.
///
/// # Errors
/// The first thing that speaks against one of them.
pub(super) fn plans(connection: &Connection, writes: &[Write], items: &Schema) -> Result<Plans> {
    let plan = |write: &Write| {
        let (checks, plan) = look(connection, write, items);
        checks.into_iter().try_for_each(|check| check.result.map(drop))?;
        plan.ok_or_else(|| Fault::bug(format!("there is no plan for table {}", write.table)))
    };
    let all = writes.iter().map(plan).collect::<Result<_>>()?;
    Ok(Plans { all, order: Order::of(writes) })
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
    checks.extend(key_check(&table, write));
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

/// A row is found by its key, and where rows are made by it, it is unique.
fn key_check(table: &Table, write: &Write) -> Option<Check> {
    if !write.mode.is_keyed() {
        return None;
    }
    let key = format!("{}: key ({})", table.name, write.key.join(", "));
    if let Some(fault) = misshapen(write, str::eq_ignore_ascii_case) {
        return Some(Check::fail(key, fault));
    }
    let there = write.key.iter().all(|key| table.column(key).is_some());
    let unique = table.is_unique(write.key.iter().map(String::as_str));
    if unique || !there {
        return unique.then(|| Check::pass(format!("{key} is unique")));
    }
    Some(match write.mode.makes_rows() {
        true => Check::fail(format!("{key} is unique"), table.not_unique(&write.key)),
        false => Check::note(key, "it is not unique: all rows with the key are meant"),
    })
}

/// One line for each column that does not fit or needs a remark, or one for all
/// of them.
fn column_checks(table: &Table, write: &Write, items: &Schema) -> Vec<Check> {
    let mut checks = Vec::new();
    for target in &write.columns {
        let what = format!("{}.{}", table.name, target.column);
        match column_fit(table, target, write, items) {
            Ok(None) => {}
            Ok(Some(note)) => checks.push(Check::note(what, note)),
            Err(fault) => checks.push(Check::fail(what, fault)),
        }
    }
    for column in left_out(table, write).filter(|_| write.mode.makes_rows()) {
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
    target: &WriteColumn,
    write: &Write,
    items: &Schema,
) -> Result<Option<&'static str>> {
    let WriteColumn { column: name, from } = target;
    let type_ = item_type(items, from)?;
    let column = table.column(name).ok_or_else(|| table.missing_column(name))?;
    let is_key = write.key.iter().any(|key| key.eq_ignore_ascii_case(name));
    let added = write.mode == Mode::Increment && !is_key;
    let only_looked_for = is_key && !write.mode.makes_rows();
    if column.generated && !only_looked_for {
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

pub(super) fn item_type<'a>(items: &'a Schema, from: &str) -> Result<&'a DataType> {
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
            Ok(Target::of(column))
        })
        .collect::<Result<Vec<_>>>()?;
    let position = |key: &String| columns.iter().position(|c| c.name.eq_ignore_ascii_case(key));
    let keys: Vec<usize> = write.key.iter().filter_map(position).collect();
    Ok(Plan {
        table: table.name.clone(),
        sql: statement(write, &keys, items)?,
        mode: write.mode,
        on_duplicate: write.on_duplicate,
        keyed: KeyedTable::of(write),
        columns,
        keys,
    })
}
