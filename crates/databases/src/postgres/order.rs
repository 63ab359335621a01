//! What the rows of a table are ordered by.

use kiln_core::{Result, TableSpec};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::fault::fault;
use super::table::{Column, Table, no_column};
use crate::pages::{no_primary_key, not_unique, nullable};

/// The unique indexes over plain columns of all rows: whether it is the primary
/// key, and its columns in order. Left out are those by which two rows may be
/// one key to the column's own collation, and all of a table that others inherit
/// from: their rows are read with its own, but no index is over both.
const UNIQUE: &str = "\
SELECT i.indisprimary,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.n <= i.indnkeyatts ORDER BY k.n)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
WHERE i.indrelid = pg_catalog.to_regclass($1) AND i.indisunique AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND (c.relkind = 'p'
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid))
  AND NOT EXISTS (
      SELECT FROM unnest(i.indkey::int2[], i.indcollation::oid[]) AS k (attnum, own)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
      WHERE NOT l.collisdeterministic AND k.own <> 0 AND k.own <> a.attcollation)";

/// The watermark, if there is one, and the key.
pub(super) async fn order<'a>(
    client: &Client,
    table: &'a Table,
    spec: &TableSpec,
) -> Result<Vec<&'a Column>> {
    let mut names: Vec<String> = spec.watermark.iter().cloned().collect();
    for name in key(client, table, spec).await? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.iter().map(|name| column(table, spec, name)).collect()
}

/// The column of a table that is to be read.
pub(super) fn column<'a>(table: &'a Table, spec: &TableSpec, name: &str) -> Result<&'a Column> {
    table.column(name).ok_or_else(|| no_column(&spec.table, table, name))
}

/// The key that the job names, or the primary key.
async fn key(client: &Client, table: &Table, spec: &TableSpec) -> Result<Vec<String>> {
    let name = &spec.table;
    let indexes =
        client.query_typed(UNIQUE, &[(&table.sql, Type::TEXT)]).await.map_err(|e| fault(&e))?;
    let indexes: Vec<(bool, Vec<String>)> =
        indexes.iter().map(|row| (row.get(0), row.get(1))).collect();
    if spec.key.is_empty() {
        let primary = indexes.into_iter().find(|(is_primary, _)| *is_primary);
        return primary.map(|(_, columns)| columns).ok_or_else(|| no_primary_key(name));
    }
    for part in &spec.key {
        if !column(table, spec, part)?.not_null {
            return Err(nullable(name, part));
        }
    }
    if indexes.iter().any(|(_, columns)| columns.iter().all(|c| spec.key.contains(c))) {
        return Ok(spec.key.clone());
    }
    Err(not_unique(name, &spec.key))
}
