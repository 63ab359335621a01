//! What the rows of a table are ordered by.

use kiln_core::{Result, TableSpec};
use rusqlite::Connection;

use super::session::at;
use super::table::{Column, Table};
use crate::names::{quoted, quoted_table};
use crate::pages::{no_primary_key, not_unique, nullable};

/// The watermark, if there is one, and the key.
pub(super) fn order<'a>(
    connection: &Connection,
    table: &'a Table,
    spec: &TableSpec,
) -> Result<Vec<&'a Column>> {
    let mut order: Vec<&Column> = Vec::new();
    let watermark: Vec<&Column> =
        spec.watermark.iter().map(|name| column(table, name)).collect::<Result<_>>()?;
    for part in watermark.into_iter().chain(key(connection, table, spec)?) {
        if order.iter().all(|known| known.name != part.name) {
            order.push(part);
        }
    }
    Ok(order)
}

/// The column of a table that is to be read.
pub(super) fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    table.column(name).ok_or_else(|| table.missing_column(name))
}

/// The key that the job names, or the primary key.
fn key<'a>(connection: &Connection, table: &'a Table, spec: &TableSpec) -> Result<Vec<&'a Column>> {
    let primary = primary_key(connection, table, spec)?;
    let names = if spec.key.is_empty() { &primary } else { &spec.key };
    if names.is_empty() {
        return Err(no_primary_key(&spec.table));
    }
    let key: Vec<&Column> = names.iter().map(|name| column(table, name)).collect::<Result<_>>()?;
    let is_in_key = |name: &String| key.iter().any(|c| c.name.eq_ignore_ascii_case(name));
    // The number of a row has no index: it is where the row lies.
    let is_number = key.iter().any(|c| c.is_rowid);
    let unique = unique_indexes(connection, table, spec)?;
    if !is_number && !unique.iter().any(|columns| columns.iter().all(is_in_key)) {
        return Err(not_unique(&spec.table, names));
    }
    for part in &key {
        if has_nulls(connection, part, spec)? {
            return Err(nullable(&spec.table, &part.name));
        }
    }
    Ok(key)
}

fn schema(spec: &TableSpec) -> &str {
    spec.table.schema.as_deref().unwrap_or("main")
}

fn primary_key(connection: &Connection, table: &Table, spec: &TableSpec) -> Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_xinfo(?1, ?2) WHERE pk > 0 ORDER BY pk";
    let names = connection.prepare(sql).and_then(|mut statement| {
        statement.query_map([&spec.table.name, schema(spec)], |row| row.get(0))?.collect()
    });
    names.map_err(at(&table.name))
}

/// The columns of each unique index over all rows that finds no two rows
/// different which the columns' own collations find equal.
fn unique_indexes(
    connection: &Connection,
    table: &Table,
    spec: &TableSpec,
) -> Result<Vec<Vec<String>>> {
    let named = "SELECT name FROM pragma_index_list(?1, ?2) WHERE \"unique\" AND NOT partial";
    let parts = "SELECT coalesce(name, ''), coll FROM pragma_index_xinfo(?1, ?2) WHERE key";
    let indexes = connection.prepare(named).and_then(|mut statement| {
        let of_table = [&spec.table.name, schema(spec)];
        let names: Vec<String> =
            statement.query_map(of_table, |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut statement = connection.prepare(parts)?;
        let mut columns = |name: &String| {
            statement
                .query_map([name, schema(spec)], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<Vec<(String, String)>, _>>()
        };
        names.iter().map(&mut columns).collect::<Result<Vec<_>, _>>()
    });
    let is_fine = |(name, own): &(String, String)| {
        let same = |c: &Column| {
            c.collation.eq_ignore_ascii_case("BINARY") || c.collation.eq_ignore_ascii_case(own)
        };
        table.column(name).is_some_and(same)
    };
    let mut indexes = indexes.map_err(at(&table.name))?;
    indexes.retain(|index| index.iter().all(is_fine));
    Ok(indexes.into_iter().map(|i| i.into_iter().map(|(name, _)| name).collect()).collect())
}

/// SQLite lets NULL into a primary key that is not declared NOT NULL; only the
/// rows tell.
fn has_nulls(connection: &Connection, part: &Column, spec: &TableSpec) -> Result<bool> {
    if part.not_null || part.is_rowid {
        return Ok(false);
    }
    let (table, column) = (quoted_table(&spec.table)?, quoted(&part.name)?);
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} IS NULL)");
    connection.query_row(&sql, [], |row| row.get(0)).map_err(at(&spec.table))
}
