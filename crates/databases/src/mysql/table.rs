//! What the server's catalogs say of a table.

use arrow_schema::{DataType, SchemaRef};
use kiln_core::{Fault, Result, TableName, Write, WriteColumn};
use mysql_async::{Row, params};

use super::fault::{DbError, fault};
use super::session::{Session, value};
use super::statement::quoted_table;
use super::types::Family;
use crate::fit::ItemType;

/// The longest name that the servers know, in characters.
const LONGEST_NAME: usize = 64;

/// A table as it is.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Its name in quotes.
    pub(super) sql: String,
    /// `BASE TABLE`, `VIEW`, …
    pub(super) kind: String,
    /// `InnoDB`, …
    pub(super) engine: String,
    pub(super) columns: Vec<Column>,
    pub(super) unique: Vec<Unique>,
    /// It is not there yet: the set-up script will make it.
    pub(super) is_rehearsed: bool,
}

/// A column as it is.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type as people write it, such as `decimal(12,2)`.
    pub(super) type_name: String,
    /// The type with what tells which texts are equal.
    pub(super) declared: String,
    pub(super) family: Family,
    pub(super) not_null: bool,
    /// It gets a value by itself: a default, a running number, an expression.
    pub(super) by_itself: bool,
    /// It gets its value only by itself.
    pub(super) only_by_itself: bool,
    /// It counts by itself.
    pub(super) counts: bool,
    /// The server puts something else in the place of a NULL.
    pub(super) replaces_null: bool,
}

/// A unique index.
#[derive(Debug, Clone, Default)]
pub(super) struct Unique {
    pub(super) index: String,
    pub(super) columns: Vec<String>,
    /// It is over whole columns, not over beginnings or expressions.
    pub(super) is_plain: bool,
    /// It holds its keys in their order.
    pub(super) is_sorted: bool,
}

const FIND: &str = "\
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, '')
FROM information_schema.TABLES
WHERE TABLE_SCHEMA = COALESCE(:schema, DATABASE()) AND TABLE_NAME = :name
  AND (@@lower_case_table_names <> 0 OR BINARY TABLE_NAME = BINARY :name)";

const COLUMNS: &str = "\
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME,
       NUMERIC_SCALE, DATETIME_PRECISION, COALESCE(CHARACTER_MAXIMUM_LENGTH, 0),
       IS_NULLABLE = 'NO', COLUMN_DEFAULT IS NOT NULL, COALESCE(GENERATION_EXPRESSION, '') <> '',
       LOCATE('auto_increment', EXTRA) > 0
FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = :name ORDER BY ORDINAL_POSITION";

const UNIQUE: &str = "\
SELECT INDEX_NAME, COALESCE(COLUMN_NAME, ''), SUB_PART IS NULL AND COLUMN_NAME IS NOT NULL,
       INDEX_TYPE = 'BTREE'
FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = :name AND NON_UNIQUE = 0
ORDER BY INDEX_NAME, SEQ_IN_INDEX";

impl Table {
    /// Looks a table up; `None` if there is none of this name.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for a name that can't be one.
    pub(super) async fn find(session: &mut Session, name: &TableName) -> Result<Option<Self>> {
        let too_long = |part: &str| part.chars().count() > LONGEST_NAME;
        if too_long(&name.name) || name.schema.as_deref().is_some_and(too_long) {
            return Err(Fault::config(format!(
                "the table name {name} is too long: the server knows {LONGEST_NAME} characters"
            )));
        }
        let sql = quoted_table(name)?;
        Self::look(session, name, sql).await.map_err(|e| fault(&e))
    }

    async fn look(
        session: &mut Session,
        name: &TableName,
        sql: String,
    ) -> Result<Option<Self>, DbError> {
        let wanted = params! { "schema" => name.schema.as_deref(), "name" => &name.name };
        let found = session.read(FIND, wanted).await?;
        let Some(found) = found.first() else { return Ok(None) };
        let (schema, name): (String, String) = (value(found, 0)?, value(found, 1)?);
        let place = params! { "schema" => schema, "name" => name };
        let columns = session.read(COLUMNS, place.clone()).await?;
        let mut unique: Vec<Unique> = Vec::new();
        for row in session.read(UNIQUE, place).await? {
            let index: String = value(&row, 0)?;
            if unique.last().is_none_or(|u| u.index != index) {
                let is_sorted = value(&row, 3)?;
                unique.push(Unique { index, columns: Vec::new(), is_plain: true, is_sorted });
            }
            if let Some(last) = unique.last_mut() {
                last.columns.push(value(&row, 1)?);
                last.is_plain &= value::<bool>(&row, 2)?;
            }
        }
        Ok(Some(Self {
            sql,
            kind: value(found, 2)?,
            engine: value(found, 3)?,
            columns: columns.iter().map(Column::new).collect::<Result<_, _>>()?,
            unique,
            is_rehearsed: false,
        }))
    }

    /// The column of this name, however it is written.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| same_name(&c.name, name))
    }

    /// Whether keys that differ as items have them are never one key here.
    pub(super) fn tells_keys_apart(&self, write: &Write, items: &SchemaRef) -> bool {
        let of_key = |c: &&WriteColumn| write.key.iter().any(|key| same_name(key, &c.column));
        write.columns.iter().filter(of_key).all(|c| {
            let item = items.field_with_name(&c.from).ok();
            let column = self.column(&c.column);
            item.zip(column).is_some_and(|(item, own)| own.tells_apart(item.data_type()))
        })
    }

    /// The unique index over exactly these columns.
    pub(super) fn unique_over(&self, names: &[String]) -> Option<&Unique> {
        self.unique.iter().find(|u| u.is_plain && u.is_over(names))
    }

    /// Whether a new row with these columns can meet a known one by another
    /// unique index than the one over its key.
    pub(super) fn meets_otherwise(&self, key: &[String], written: &[String]) -> bool {
        self.unique.iter().any(|unique| {
            let is_new = |name: &String| {
                self.column(name).is_some_and(|c| c.counts)
                    && !written.iter().any(|w| same_name(w, name))
            };
            let is_key = unique.is_plain && unique.is_over(key);
            !(is_key || unique.columns.iter().any(is_new))
        })
    }
}

impl Unique {
    fn is_over(&self, names: &[String]) -> bool {
        self.columns.len() == names.len()
            && names.iter().all(|n| self.columns.iter().any(|c| same_name(c, n)))
    }
}

/// Whether two names are one column's.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

impl Column {
    fn new(row: &Row) -> Result<Self, DbError> {
        let (name, type_name): (String, String) = (value(row, 1)?, value(row, 2)?);
        let charset: Option<String> = value(row, 3)?;
        let collation: Option<String> = value(row, 4)?;
        let declared = match (charset, collation) {
            (Some(charset), Some(collation)) => {
                format!("{type_name} CHARACTER SET {charset} COLLATE {collation}")
            }
            _ => type_name.clone(),
        };
        let [not_null, default, generated, counts] = [8, 9, 10, 11].map(|i| value::<bool>(row, i));
        let (not_null, generated, counts) = (not_null?, generated?, counts?);
        Ok(Self {
            family: Family::new(&name, value(row, 5)?, value(row, 6)?, value(row, 7)?),
            name: value(row, 0)?,
            replaces_null: counts || (not_null && name == "timestamp"),
            type_name,
            declared,
            not_null,
            by_itself: default? || generated || counts,
            only_by_itself: generated,
            counts,
        })
    }

    /// Whether two values of an item's column that differ are never one value
    /// here: digits that would be lost are refused, but most collations find
    /// texts equal that differ, were it by blanks behind them.
    fn tells_apart(&self, item: &DataType) -> bool {
        match (self.family, ItemType::of(item)) {
            (Family::Int, Some(ItemType::Int | ItemType::Bool))
            | (Family::Numeric(_), Some(ItemType::Int | ItemType::Decimal(..)))
            | (Family::Year, Some(ItemType::Int))
            | (Family::Bytes(_), Some(ItemType::Bytes))
            | (Family::Date, Some(ItemType::Date))
            | (Family::Time(_), Some(ItemType::Time))
            | (Family::Timestamp(_), Some(ItemType::Timestamp(_))) => true,
            (Family::Text, Some(ItemType::Text)) => {
                !self.type_name.starts_with("char(")
                    && ["_nopad_bin", "_0900_bin"].iter().any(|end| self.declared.ends_with(end))
            }
            _ => false,
        }
    }

    /// Whether an `ENUM` or a `SET` has this word.
    pub(super) fn has_word(&self, word: &str) -> bool {
        let quoted = format!("'{}'", word.replace('\'', "''"));
        let list = self.type_name.split_once('(').map_or("", |(_, list)| list);
        let list = list.strip_suffix(')').unwrap_or(list);
        list.to_lowercase().split(',').any(|w| w == quoted.to_lowercase())
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
