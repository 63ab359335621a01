//! A table as the database describes it.

use kiln_core::{Fault, Result, TableName};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::session::at;
use super::types::Takes;

/// A table that rows can be written to.
pub(super) struct Table {
    /// Its name, for messages.
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The columns of each unique constraint.
    uniques: Vec<Vec<String>>,
}

/// A column of a table.
pub(super) struct Column {
    pub(super) name: String,
    /// The type as it was declared.
    pub(super) declared: String,
    pub(super) takes: Takes,
    /// How its texts are compared.
    pub(super) collation: String,
    /// Whether it is declared NOT NULL.
    pub(super) not_null: bool,
    /// Whether a row must give it a value.
    pub(super) required: bool,
    /// Whether it is computed, so that nothing can be written to it.
    pub(super) generated: bool,
    /// Whether it is the row's number, which comes by itself.
    pub(super) is_rowid: bool,
    /// Whether it has a default.
    pub(super) has_default: bool,
}

impl Table {
    /// Looks a table up.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if it is not there or is none.
    pub(super) fn find(connection: &Connection, name: &TableName) -> Result<Self> {
        let text = name.to_string();
        let schema = name.schema.as_deref().unwrap_or("main");
        let found = connection
            .query_row(
                "SELECT type, wr, strict FROM pragma_table_list
                 WHERE schema = ?1 COLLATE NOCASE AND name = ?2 COLLATE NOCASE",
                [schema, &name.name],
                |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()
            .map_err(at(&text))?;
        let (without_rowid, strict) = match found {
            None => return Err(missing(connection, &text)),
            Some((kind, ..)) if kind == "view" => {
                return Err(Fault::config(format!("{text} is a view, not a table"))
                    .with_hint("name the table behind it"));
            }
            Some((_, without_rowid, strict)) => (without_rowid, strict),
        };
        let (columns, primary) =
            columns(connection, schema, &name.name, without_rowid, strict).map_err(at(&text))?;
        let mut uniques = uniques(connection, schema, &name.name).map_err(at(&text))?;
        uniques.extend(primary);
        Ok(Self { name: text, columns, uniques })
    }

    /// The column with a name; SQLite does not mind upper and lower case.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// The fault of a column that is not there.
    pub(super) fn missing_column(&self, name: &str) -> Fault {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        Fault::config(format!("{} has no column {name}", self.name))
            .with_column(name)
            .with_hint(format!("its columns are {}", names.join(", ")))
    }

    /// Whether a unique constraint covers exactly these columns.
    pub(super) fn is_unique<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        let sorted = |names: &mut dyn Iterator<Item = &str>| {
            let mut names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
            names.sort();
            names
        };
        let wanted = sorted(&mut names.into_iter());
        self.uniques.iter().any(|u| sorted(&mut u.iter().map(String::as_str)) == wanted)
    }

    /// The fault of columns that should be unique.
    pub(super) fn not_unique(&self, names: &[String]) -> Fault {
        let Self { name, .. } = self;
        let columns = names.join(", ");
        Fault::config(format!("{name} has no unique constraint over ({columns})")).with_hint(
            format!("CREATE UNIQUE INDEX … ON {name} ({columns}), or make it the primary key"),
        )
    }
}

fn missing(connection: &Connection, name: &str) -> Fault {
    let fault = Fault::config(format!("there is no table {name}"));
    let tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'kiln\\_%' ESCAPE '\\' ORDER BY name LIMIT 10")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>());
    match tables {
        Ok(tables) if !tables.is_empty() => {
            fault.with_hint(format!("the tables there are {}", tables.join(", ")))
        }
        _ => fault.with_hint("create it in the set-up script of the target, or correct the name"),
    }
}

/// The columns, and the primary key if there is one.
fn columns(
    connection: &Connection,
    schema: &str,
    table: &str,
    without_rowid: bool,
    strict: bool,
) -> rusqlite::Result<(Vec<Column>, Option<Vec<String>>)> {
    struct Raw {
        name: String,
        declared: String,
        not_null: bool,
        has_default: bool,
        primary: usize,
        hidden: i64,
    }
    let read = |row: &Row<'_>| {
        Ok(Raw {
            name: row.get(0)?,
            declared: row.get(1)?,
            not_null: row.get(2)?,
            has_default: row.get(3)?,
            primary: row.get(4)?,
            hidden: row.get(5)?,
        })
    };
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden
         FROM pragma_table_xinfo(?1, ?2) WHERE hidden <> 1 ORDER BY cid",
    )?;
    let raw: Vec<Raw> = statement.query_map([table, schema], read)?.collect::<Result<_, _>>()?;
    let in_key = raw.iter().filter(|c| c.primary > 0).count();
    let primary = raw.iter().filter(|c| c.primary > 0).map(|c| c.name.clone()).collect();
    let column = |c: Raw| -> rusqlite::Result<Column> {
        let (_, collation, ..) = connection.column_metadata(Some(schema), table, &*c.name)?;
        let collation = collation.map_or("BINARY".into(), |name| name.to_string_lossy());
        let is_rowid = in_key == 1
            && c.primary == 1
            && !without_rowid
            && c.declared.eq_ignore_ascii_case("INTEGER");
        Ok(Column {
            collation: collation.into_owned(),
            takes: Takes::of(&c.declared, strict),
            not_null: c.not_null || (without_rowid && c.primary > 0),
            required: c.not_null && !c.has_default && !is_rowid,
            generated: c.hidden != 0,
            has_default: c.has_default,
            is_rowid,
            name: c.name,
            declared: c.declared,
        })
    };
    let columns = raw.into_iter().map(column).collect::<Result<_, _>>()?;
    Ok((columns, (in_key > 0).then_some(primary)))
}

/// The columns of unique indexes that cover all rows.
fn uniques(
    connection: &Connection,
    schema: &str,
    table: &str,
) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut indexes = connection
        .prepare("SELECT name FROM pragma_index_list(?1, ?2) WHERE \"unique\" AND NOT partial")?;
    let mut columns = connection
        .prepare("SELECT coalesce(name, '') FROM pragma_index_info(?1, ?2) ORDER BY seqno")?;
    let names: Vec<String> =
        indexes.query_map([table, schema], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names
        .iter()
        .map(|name| columns.query_map([name, schema], |row| row.get(0))?.collect())
        .collect()
}
