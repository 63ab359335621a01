//! Tables of SQLite as sources.
//!
//! A column's declared type says what its values are read as; SQLite keeps
//! whatever it is given, so a value may be something else all the same, and then
//! its row is a failure.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use kiln_core::{Fault, Kind, Result, Source, TableSpec};
use rusqlite::Connection;

use super::order::{column, order};
use super::pages::{ReadAs, SqlitePages};
use super::place::Place;
use super::session::at;
use super::table::{Column, Table};
use super::types::Takes;
use super::worker::Worker;
use crate::names::{quoted, quoted_table};
use crate::pages::{Described, Statement, TableSource, of_source};

/// Opens a table as it will be when the set-up script has run.
pub(super) async fn open(worker: &Worker, spec: &TableSpec) -> Result<Box<dyn Source>> {
    let place = worker.place().clone();
    if place == Place::Memory {
        return Err(Fault::config("a database in memory is no source: only its owner sees it")
            .with_hint("name a file: sqlite:shop.db"));
    }
    let (wanted, file) = (spec.clone(), place.clone());
    let (described, columns, statement) = worker
        .run(move |session| {
            let is_there = session.has_set_up() || file.exists();
            let described = session.look_ahead(|connection| describe(connection, &wanted, &file));
            described.map_err(|fault| if is_there { fault } else { missing(&file, fault) })
        })
        .await?;
    let pages = SqlitePages::new(place, statement, columns, spec.snapshot);
    Ok(Box::new(TableSource::new(spec, described, pages)?))
}

/// What is wrong with a table in a file that is not there.
fn missing(place: &Place, fault: Fault) -> Fault {
    match fault.kind() {
        Kind::Config => Fault::new(Kind::InputMissing, format!("{place}: there is no such file"))
            .with_hint("correct the path in the source's url"),
        _ => fault,
    }
}

fn describe(
    connection: &Connection,
    spec: &TableSpec,
    place: &Place,
) -> Result<(Described, Vec<ReadAs>, Statement)> {
    let table = Table::find(connection, &spec.table)?;
    if !spec.lag.is_zero() {
        return Err(Fault::config("a lag needs a database that keeps instants; SQLite has none")
            .with_hint("leave lag out: SQLite has one writer at a time"));
    }
    let columns: Vec<&Column> = match spec.columns.is_empty() {
        true => table.columns.iter().collect(),
        false => spec.columns.iter().map(|name| column(&table, name)).collect::<Result<_>>()?,
    };
    let order = order(connection, &table, spec)?;
    let statement = statement(spec, &columns, &order)?;
    connection
        .prepare(&statement.probe(&vec!["?".to_owned(); order.len()]))
        .map_err(|e| of_source(at(format_args!("table {}", spec.table))(e)))?;
    let fields = columns.iter().map(|c| Field::new(&c.name, type_of(c), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let read_as = columns.iter().map(|c| ReadAs { type_: type_of(c), takes: c.takes }).collect();
    let order = order.iter().map(|c| c.name.clone()).collect();
    let described = Described { database: place.identity(), schema, order, is_number: false };
    Ok((described, read_as, statement))
}

fn statement(spec: &TableSpec, columns: &[&Column], order: &[&Column]) -> Result<Statement> {
    let own = quoted(&spec.table.name)?;
    let named = |c: &&Column| Ok(format!("{own}.{}", quoted(&c.name)?));
    let keys: Vec<String> = order.iter().map(named).collect::<Result<_>>()?;
    let mut conditions: Vec<String> = spec.filter.iter().cloned().collect();
    if let (Some(_), Some(watermark)) = (&spec.watermark, keys.first()) {
        conditions.push(format!("{watermark} IS NOT NULL"));
    }
    Ok(Statement {
        table: quoted_table(&spec.table)?,
        columns: columns.iter().map(named).collect::<Result<_>>()?,
        keys: keys.clone(),
        order: keys,
        compares_rows: true,
        conditions,
    })
}

/// What the values of a column are read as.
fn type_of(column: &Column) -> DataType {
    let declared = column.declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    let timestamp =
        |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    match column.takes {
        Takes::Integer => DataType::Int64,
        Takes::Anything if has(&["BLOB"]) => DataType::Binary,
        Takes::Number if has(&["BOOL"]) => DataType::Boolean,
        Takes::Number if has(&["REAL", "FLOA", "DOUB"]) => DataType::Float64,
        Takes::Number => decimal(&declared).unwrap_or(DataType::Utf8),
        Takes::Moment if has(&["TIMESTAMPTZ", "WITH TIME ZONE"]) => timestamp(Some("+00:00")),
        Takes::Moment if has(&["TIMESTAMP", "DATETIME"]) => timestamp(None),
        Takes::Moment if has(&["DATE"]) => DataType::Date32,
        Takes::Moment => DataType::Time64(TimeUnit::Microsecond),
        Takes::Text | Takes::Word | Takes::Anything => DataType::Utf8,
    }
}

/// The type of `NUMERIC(p,s)`; one that does not say how many digits it has is
/// read as text.
fn decimal(declared: &str) -> Option<DataType> {
    let (_, arguments) = declared.split_once('(')?;
    let (arguments, _) = arguments.split_once(')')?;
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let fits = (1..=38).contains(&precision) && (0..=38).contains(&scale);
    (fits && i16::from(scale) <= i16::from(precision))
        .then_some(DataType::Decimal128(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_numeric_that_says_its_digits_is_a_decimal() {
        assert_eq!(decimal("NUMERIC(10,2)"), Some(DataType::Decimal128(10, 2)));
        assert_eq!(decimal("DECIMAL ( 38 , 18 )"), Some(DataType::Decimal128(38, 18)));
        assert_eq!(decimal("DECIMAL(5)"), Some(DataType::Decimal128(5, 0)));
        for other in ["NUMERIC", "NUMERIC(39,2)", "NUMERIC(2,3)", "NUMERIC(x)", "NUMERIC(0,0)"] {
            assert_eq!(decimal(other), None, "{other}");
        }
    }
}
