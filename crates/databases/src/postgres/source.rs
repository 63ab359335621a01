//! Tables of PostgreSQL as sources.
//!
//! Numbers, texts and bytes come as they are, everything else as the text that
//! the server itself would read again.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use kiln_core::{Fault, Kind, Result, Source, TableName, TableSpec};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::fault::fault;
use super::order::{column, order};
use super::pages::{Cast, PostgresPages};
use super::server::Server;
use super::table::{Column, Table, no_table};
use crate::names::{quoted, quoted_list};
use crate::pages::{Described, Statement, TableSource, of_source};
use crate::url::without_user;

/// The types of whole numbers.
const WHOLE: [&str; 3] = ["smallint", "integer", "bigint"];

/// Opens a table as it will be when the set-up script has run.
pub(super) async fn open(server: Arc<Server>, spec: &TableSpec) -> Result<Box<dyn Source>> {
    let client = server.rehearse().await?;
    let table = Table::find(&client, &spec.table).await?.ok_or_else(|| no_table(&spec.table))?;
    if !matches!(table.kind.as_str(), "r" | "p") {
        return Err(Fault::config(format!("{} is no table with a key", spec.table))
            .with_hint("name the table behind it: rows are read in the order of their key"));
    }
    let columns: Vec<&Column> = match spec.columns.is_empty() {
        true => table.columns.iter().collect(),
        false => spec.columns.iter().map(|c| column(&table, spec, c)).collect::<Result<_>>()?,
    };
    let order = order(&client, &table, spec).await?;
    if let Some(hidden) = columns.iter().chain(&order).find(|c| !c.may_select) {
        return Err(not_permitted(&spec.table, hidden));
    }
    let types = types(&client, &table, &columns).await?;
    let statement = statement(&table, spec, &columns, &types, &order)?;
    let cast = |c: &&Column| Cast { type_: c.cast.clone(), collation: c.collation.clone() };
    let casts: Vec<Cast> = order.iter().map(cast).collect();
    let wrong = |e: Error| of_source(fault(&e)).at(format_args!("table {}", spec.table));
    let behind: Vec<String> = casts.iter().zip(1..).map(|(cast, n)| cast.of(n)).collect();
    let texts = vec![Type::TEXT; behind.len()];
    client.prepare_typed(&statement.probe(&behind), &texts).await.map_err(wrong)?;

    let fields = columns.iter().zip(&types).map(|(c, t)| Field::new(&c.name, t.clone(), true));
    let described = Described {
        database: without_user(server.url()),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        order: order.iter().map(|c| c.name.clone()).collect(),
        is_number: order.first().is_some_and(|c| WHOLE.contains(&c.cast.as_str())),
    };
    let pages = PostgresPages::new(server, statement, casts, types, spec.snapshot);
    Ok(Box::new(TableSource::new(spec, described, pages)?))
}

fn not_permitted(table: &TableName, column: &Column) -> Fault {
    let column = &column.name;
    Fault::new(Kind::NotPermitted, format!("no permission to read {table}.{column}"))
        .with_hint(format!("GRANT SELECT ON {table} TO the user of the source's url"))
}

/// The types that items have, as the server describes the columns: a domain is
/// the type below it.
async fn types(client: &Client, table: &Table, columns: &[&Column]) -> Result<Vec<DataType>> {
    let names = quoted_list(columns.iter().map(|c| c.name.as_str()))?;
    let sql = format!("SELECT {names} FROM {}", table.sql);
    let described = client.prepare(&sql).await.map_err(|e| fault(&e))?;
    Ok(described.columns().iter().map(|c| type_of(c.type_(), c.type_modifier())).collect())
}

fn type_of(type_: &Type, modifier: i32) -> DataType {
    match *type_ {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => decimal(modifier).unwrap_or(DataType::Utf8),
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        _ => DataType::Utf8,
    }
}

/// The type of a `numeric(p,s)` all of whose values fit; any other is read as
/// text.
fn decimal(modifier: i32) -> Option<DataType> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = u8::try_from(packed >> 16).ok().filter(|p| *p <= 38)?;
    // The lowest eleven bits, signed.
    let scale = i8::try_from(((packed & 0x7ff) ^ 0x400) - 0x400).ok()?;
    let fits = u8::try_from(scale).is_ok_and(|scale| scale <= precision);
    fits.then_some(DataType::Decimal128(precision, scale))
}

/// Whether values of a type are sent as they are, not as text.
fn is_native(type_: &DataType) -> bool {
    use DataType as D;
    matches!(type_, D::Boolean | D::Binary | D::Float32 | D::Float64) || type_.is_integer()
}

fn statement(
    table: &Table,
    spec: &TableSpec,
    columns: &[&Column],
    types: &[DataType],
    order: &[&Column],
) -> Result<Statement> {
    let own = quoted(&spec.table.name)?;
    let named = |c: &&Column| Ok(format!("{own}.{}", quoted(&c.name)?));
    let names: Vec<String> = columns.iter().map(named).collect::<Result<_>>()?;
    let keys: Vec<String> = order.iter().map(named).collect::<Result<_>>()?;
    let as_text = |name: &String| format!("{name}::pg_catalog.text");
    let value = |(name, type_): (&String, &DataType)| match is_native(type_) {
        true => name.clone(),
        false => as_text(name),
    };
    let values = names.iter().zip(types).map(value);
    let mut conditions: Vec<String> = spec.filter.iter().cloned().collect();
    if let (Some(watermark), Some(name)) = (order.first(), keys.first())
        && spec.watermark.is_some()
    {
        conditions.push(format!("{name} IS NOT NULL"));
        conditions.extend(lag(spec, watermark, name)?);
    }
    Ok(Statement {
        table: table.sql.clone(),
        columns: values.collect(),
        keys: keys.iter().map(as_text).collect(),
        order: keys,
        compares_rows: true,
        conditions,
    })
}

/// Leaves out what is too young. The transaction's own time lies before its
/// first look at the table, so what is older has been committed.
fn lag(spec: &TableSpec, watermark: &Column, name: &str) -> Result<Option<String>> {
    if spec.lag.is_zero() {
        return Ok(None);
    }
    if watermark.cast != "timestamp with time zone" {
        let Column { name, type_name, .. } = watermark;
        return Err(Fault::config(format!("a lag needs an instant; {name} is {type_name}"))
            .with_column(name)
            .with_hint("leave lag out, or take a watermark of type timestamptz"));
    }
    let seconds = spec.lag.as_secs_f64();
    let age = format!("pg_catalog.make_interval(secs => {seconds})");
    Ok(Some(format!("{name} <= pg_catalog.now() - {age}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_numeric_with_digits_to_keep_is_a_decimal() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(decimal(modifier(38, 18)), Some(DataType::Decimal128(38, 18)));
        assert_eq!(decimal(modifier(5, 0)), Some(DataType::Decimal128(5, 0)));
        for other in [-1, modifier(39, 0), modifier(3, 5), modifier(3, -2), modifier(1000, 1000)] {
            assert_eq!(decimal(other), None, "{other}");
        }
    }
}
