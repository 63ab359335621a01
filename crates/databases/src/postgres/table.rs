//! What the server's catalogs say of a table.

use arrow_schema::{DataType, SchemaRef};
use kiln_core::{Fault, Result, TableName, Write, WriteColumn};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::binary::Binary;
use super::fault::fault;
use super::types::Family;
use crate::fit::ItemType;
use crate::names::quoted_table;

/// The longest name that PostgreSQL keeps, in bytes; it cuts off longer ones.
const LONGEST_NAME: usize = 63;

/// A table as it is.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name with its schema, in quotes where that is needed.
    pub(super) sql: String,
    /// `pg_class.relkind`: r table, p partitioned, f foreign, v view, …
    pub(super) kind: String,
    pub(super) columns: Vec<Column>,
    pub(super) may_delete: bool,
    /// The columns of each unique constraint, in no order.
    pub(super) unique: Vec<Vec<String>>,
}

/// A column as it is.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type as people write it, such as `numeric(12,2)`.
    pub(super) type_name: String,
    /// The type as the target of a cast that changes no value.
    pub(super) cast: String,
    /// ` COLLATE …`, where it is not the type's own: it tells which texts are
    /// equal.
    pub(super) collation: String,
    pub(super) family: Family,
    /// How its values are written in the binary format, where they can be.
    pub(super) binary: Option<Binary>,
    pub(super) not_null: bool,
    /// It gets a value by itself: a default, an identity, an expression.
    pub(super) by_itself: bool,
    /// It gets its value only by itself.
    pub(super) only_by_itself: bool,
    pub(super) may_select: bool,
    pub(super) may_insert: bool,
    pub(super) may_update: bool,
}

/// The name is given in quotes, and comes back with its schema, so that it means
/// the same in every session. For a user called like the ledger's schema, a name
/// without a schema ($2) is looked for beside the ledger, not in it.
const FIND: &str = "\
SELECT c.oid, c.relkind::text, pg_catalog.has_table_privilege(c.oid, 'DELETE'),
       pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = CASE WHEN $2 AND current_user = 'kiln' THEN
    (SELECT found FROM unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS u (s, rank),
            pg_catalog.to_regclass(pg_catalog.format('%I.', s) || $1) AS found
     WHERE s <> 'kiln' AND found IS NOT NULL ORDER BY rank LIMIT 1)
  ELSE pg_catalog.to_regclass($1) END";

/// A domain stands for the type below it.
const COLUMNS: &str = "\
WITH RECURSIVE base (attnum, type, modifier) AS (
    SELECT attnum, atttypid, atttypmod FROM pg_catalog.pg_attribute
    WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
  UNION ALL
    SELECT b.attnum, t.typbasetype, t.typtypmod
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype = 'd'
)
SELECT a.attname::text,
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       pg_catalog.format_type(a.atttypid, -1),
       t.typname::text, t.typcategory::text, b.modifier,
       a.attnotnull,
       a.atthasdef OR a.attidentity <> '' OR d.typdefault IS NOT NULL,
       a.attgenerated <> '' OR a.attidentity = 'a',
       pg_catalog.has_column_privilege($1, a.attnum, 'SELECT'),
       pg_catalog.has_column_privilege($1, a.attnum, 'INSERT'),
       pg_catalog.has_column_privilege($1, a.attnum, 'UPDATE'),
       CASE WHEN a.attcollation IN (0, d.typcollation) THEN ''
            ELSE pg_catalog.format(' COLLATE %I.%I', s.nspname, l.collname) END,
       b.type
FROM pg_catalog.pg_attribute a
JOIN base b ON b.attnum = a.attnum
JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'
JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace s ON s.oid = l.collnamespace
WHERE a.attrelid = $1
ORDER BY a.attnum";

/// Those that an `ON CONFLICT` can name: over plain columns, checked at once,
/// for all rows.
const UNIQUE: &str = "\
SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = i.indrelid
               AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
FROM pg_catalog.pg_index i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL";

impl Table {
    /// Looks a table up; `None` if there is none of this name.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for a name that can't be one.
    pub(super) async fn find(client: &Client, name: &TableName) -> Result<Option<Self>> {
        let too_long = |part: &str| part.len() > LONGEST_NAME;
        if too_long(&name.name) || name.schema.as_deref().is_some_and(too_long) {
            return Err(Fault::config(format!(
                "the table name {name} is too long: PostgreSQL keeps {LONGEST_NAME} bytes of a name"
            )));
        }
        let sql = quoted_table(name)?;
        let names =
            [(&sql as &(dyn ToSql + Sync), Type::TEXT), (&name.schema.is_none(), Type::BOOL)];
        let found = client.query_typed(FIND, &names).await.map_err(|e| fault(&e))?;
        let Some(found) = found.first() else { return Ok(None) };
        let oid: u32 = found.get(0);
        let oid = [(&oid as &(dyn ToSql + Sync), Type::OID)];
        let columns = client.query_typed(COLUMNS, &oid).await.map_err(|e| fault(&e))?;
        let unique = client.query_typed(UNIQUE, &oid).await.map_err(|e| fault(&e))?;
        Ok(Some(Self {
            sql: found.get(3),
            kind: found.get(1),
            may_delete: found.get(2),
            columns: columns.iter().map(Column::new).collect(),
            unique: unique.iter().map(|row| row.get(0)).collect(),
        }))
    }

    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Whether keys that differ as items have them are never one key here.
    pub(super) fn tells_keys_apart(&self, write: &Write, items: &SchemaRef) -> bool {
        let of_key = |c: &&WriteColumn| write.key.contains(&c.column);
        write.columns.iter().filter(of_key).all(|c| {
            let item = items.field_with_name(&c.from).ok();
            let column = self.columns.iter().find(|own| own.name == c.column);
            item.zip(column).is_some_and(|(item, own)| own.tells_apart(item.data_type()))
        })
    }

    /// Whether a unique constraint is over exactly these columns.
    pub(super) fn is_unique(&self, names: &[String]) -> bool {
        self.unique.iter().any(|columns| {
            columns.len() == names.len() && names.iter().all(|n| columns.contains(n))
        })
    }
}

impl Column {
    /// Whether two values of an item's column that differ are never one value
    /// here: not rounded, not cut, and not of a collation that finds them equal.
    fn tells_apart(&self, item: &DataType) -> bool {
        match (self.family, ItemType::of(item)) {
            (Family::Int, Some(ItemType::Int))
            | (Family::Numeric(_), Some(ItemType::Int | ItemType::Decimal(..)))
            | (Family::Bool, Some(ItemType::Bool))
            | (Family::Date, Some(ItemType::Date))
            | (Family::Bytes, Some(ItemType::Bytes)) => true,
            (Family::Text, Some(ItemType::Text)) => {
                self.collation.is_empty()
                    && ["text", "character varying"].contains(&self.type_name.as_str())
            }
            _ => false,
        }
    }

    fn new(row: &Row) -> Self {
        let name: String = row.get(3);
        let category: String = row.get(4);
        Self {
            name: row.get(0),
            type_name: row.get(1),
            cast: row.get(2),
            family: Family::new(&name, &category, row.get(5)),
            not_null: row.get(6),
            by_itself: row.get(7),
            only_by_itself: row.get(8),
            may_select: row.get(9),
            may_insert: row.get(10),
            may_update: row.get(11),
            collation: row.get(12),
            binary: Binary::of(row.get(13)),
        }
    }

    /// Whether items of this type may hold values that the column does not keep
    /// and the server would not refuse, or not be able to read.
    pub(super) fn may_misfit(&self, item: &DataType) -> bool {
        match (ItemType::of(item), self.family) {
            (Some(ItemType::Text | ItemType::Date | ItemType::Timestamp(_)), _) => true,
            (Some(ItemType::Decimal(_, own)), Family::Numeric(Some(kept))) => i32::from(own) > kept,
            (Some(ItemType::Int), Family::Numeric(Some(kept))) => kept < 0,
            _ => false,
        }
    }
}

#[cfg(test)]
impl Column {
    /// One of which nothing else is known.
    pub(super) fn plain(name: &str, family: Family) -> Self {
        Self {
            name: name.into(),
            type_name: "integer".into(),
            cast: "integer".into(),
            collation: String::new(),
            family,
            binary: None,
            not_null: false,
            by_itself: false,
            only_by_itself: false,
            may_select: true,
            may_insert: true,
            may_update: true,
        }
    }
}

/// The fault of a table that is not there.
pub(super) fn no_table(name: &TableName) -> Fault {
    Fault::config(format!("there is no table {name}"))
        .with_hint("create it, or name a script that does under [target] setup")
}

/// The fault of a column that is not there.
pub(super) fn no_column(table: &TableName, has: &Table, column: &str) -> Fault {
    let names: Vec<&str> = has.columns.iter().map(|c| c.name.as_str()).collect();
    Fault::config(format!("table {table} has no column {column}"))
        .with_column(column)
        .with_hint(format!("it has {}", names.join(", ")))
}
