//! The statement for one row of a write; its parameters are the write's columns,
//! by their number.
//!
//! `OR ABORT`: what the table itself declares, such as `ON CONFLICT IGNORE`,
//! would drop or replace rows without a word.

use arrow_schema::Schema;
use kiln_core::{Mode, Result, Write};

use super::number::ADD;
use super::plan::item_type;
use crate::names::{quoted, quoted_list, quoted_table};

pub(super) fn statement(write: &Write, keys: &[usize], items: &Schema) -> Result<String> {
    let key = || quoted_list(write.key.iter().map(String::as_str));
    Ok(match write.mode {
        Mode::Insert => insert(write)?,
        Mode::Ignore => format!("{} ON CONFLICT ({}) DO NOTHING", insert(write)?, key()?),
        Mode::Upsert => {
            let changes = others(write, keys, |_, name| format!("{name} = excluded.{name}"))?;
            format!("{} ON CONFLICT ({}) DO UPDATE SET {changes}", insert(write)?, key()?)
        }
        Mode::Increment => {
            let changes = increments(write, keys, items)?;
            format!("{} ON CONFLICT ({}) DO UPDATE SET {changes}", insert(write)?, key()?)
        }
        Mode::Update => {
            let changes = others(write, keys, |i, name| format!("{name} = ?{}", i + 1))?;
            let table = quoted_table(&write.table)?;
            format!("UPDATE OR ABORT {table} SET {changes} WHERE {}", found(write, keys)?)
        }
        Mode::Delete => {
            format!("DELETE FROM {} WHERE {}", quoted_table(&write.table)?, found(write, keys)?)
        }
    })
}

fn insert(write: &Write) -> Result<String> {
    let table = quoted_table(&write.table)?;
    if write.columns.is_empty() {
        return Ok(format!("INSERT OR ABORT INTO {table} DEFAULT VALUES"));
    }
    let columns = quoted_list(write.columns.iter().map(|c| c.column.as_str()))?;
    let values = vec!["?"; write.columns.len()].join(", ");
    Ok(format!("INSERT OR ABORT INTO {table} AS kiln_row ({columns}) VALUES ({values})"))
}

fn increments(write: &Write, keys: &[usize], items: &Schema) -> Result<String> {
    let floats = write
        .columns
        .iter()
        .map(|c| Ok(item_type(items, &c.from)?.is_floating()))
        .collect::<Result<Vec<_>>>()?;
    others(write, keys, |i, name| match floats[i] {
        true => format!("{name} = coalesce(kiln_row.{name}, 0) + excluded.{name}"),
        false => format!("{name} = {ADD}(kiln_row.{name}, excluded.{name})"),
    })
}

/// What is set: the columns beside the key.
fn others(write: &Write, keys: &[usize], change: impl Fn(usize, &str) -> String) -> Result<String> {
    let others = write.columns.iter().enumerate().filter(|(i, _)| !keys.contains(i));
    let changes = others.map(|(i, c)| Ok(change(i, &quoted(&c.column)?)));
    Ok(changes.collect::<Result<Vec<_>>>()?.join(", "))
}

fn found(write: &Write, keys: &[usize]) -> Result<String> {
    let same = |i: &usize| Ok(format!("{} = ?{}", quoted(&write.columns[*i].column)?, i + 1));
    Ok(keys.iter().map(same).collect::<Result<Vec<_>>>()?.join(" AND "))
}
