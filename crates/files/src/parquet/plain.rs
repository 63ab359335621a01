//! Columns of any type of Parquet to those that kiln writes.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Decimal256Type, Float16Type, Float32Type, Time32MillisecondType,
    Time64MicrosecondType, Time64NanosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use kiln_core::{Cell, CellColumn, Fault, Result};
use serde_json::{Map, Value};

/// The digits that a decimal of 128 bits can have.
const DIGITS: u8 = 38;

/// The columns as kiln writes them.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config), naming a column whose type can't be
/// read.
pub(super) fn schema(read: &Schema) -> Result<Schema> {
    let fields = read.fields().iter().map(|field| match plain_type(field.data_type()) {
        Some(plain) => Ok(Field::new(field.name(), plain, true)),
        None => Err(Fault::config(format!(
            "column {}: values of type {} can't be read",
            field.name(),
            field.data_type()
        ))
        .with_column(field.name())
        .with_hint("read the others alone: columns = [ … ]")),
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
}

/// What a type becomes.
fn plain_type(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Timestamp(..) => kind.clone(),
        DataType::Float16 => DataType::Float32,
        DataType::Time32(TimeUnit::Millisecond) | DataType::Time64(TimeUnit::Nanosecond) => {
            DataType::Time64(TimeUnit::Microsecond)
        }
        DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Decimal256(precision, scale) if *precision <= DIGITS => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(..) => DataType::Utf8,
        DataType::List(field) | DataType::Map(field, _) => {
            plain_type(field.data_type()).map(|_| DataType::Utf8)?
        }
        DataType::Struct(fields) => {
            let known = fields.iter().all(|field| plain_type(field.data_type()).is_some());
            known.then_some(DataType::Utf8)?
        }
        _ => return None,
    })
}

/// A batch as kiln writes it.
pub(super) fn batch(read: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = read.columns().iter().map(plain).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|e| Fault::bug(format!("the columns of a Parquet file are no batch: {e}")))
}

/// A column as kiln writes it.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Float16 => {
            let floats = column.as_primitive::<Float16Type>();
            Arc::new(floats.unary::<_, Float32Type>(|x| x.to_f32()))
        }
        DataType::Time32(_) => {
            let times = column.as_primitive::<Time32MillisecondType>();
            Arc::new(times.unary::<_, Time64MicrosecondType>(|ms| i64::from(ms) * 1_000))
        }
        // What is finer than a microsecond is cut off, as of a timestamp.
        DataType::Time64(TimeUnit::Nanosecond) => {
            let times = column.as_primitive::<Time64NanosecondType>();
            Arc::new(times.unary::<_, Time64MicrosecondType>(|ns| ns.div_euclid(1_000)))
        }
        DataType::FixedSizeBinary(_) => {
            Arc::new(column.as_fixed_size_binary().iter().collect::<BinaryArray>())
        }
        DataType::Decimal256(precision, scale) => decimals(column, *precision, *scale)?,
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => nested(column)?,
        _ => Arc::clone(column),
    })
}

/// Decimals of 256 bits: as they are if they fit, or as text.
fn decimals(column: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef> {
    let wide: &PrimitiveArray<Decimal256Type> = column.as_primitive();
    if precision > DIGITS {
        let text = |row: usize| wide.is_valid(row).then(|| wide.value_as_string(row));
        return Ok(Arc::new((0..wide.len()).map(text).collect::<StringArray>()));
    }
    let narrow: Decimal128Array = wide
        .iter()
        .map(|value| value.and_then(|digits| digits.to_i128()))
        .collect::<PrimitiveArray<Decimal128Type>>();
    if narrow.null_count() != wide.null_count() {
        return Err(Fault::bug(format!("a decimal of {precision} digits has more than 38")));
    }
    let narrow = narrow.with_precision_and_scale(precision, scale);
    Ok(Arc::new(narrow.map_err(|e| Fault::bug(format!("no decimals: {e}")))?))
}

/// Lists, maps and structs as JSON.
fn nested(column: &ArrayRef) -> Result<ArrayRef> {
    let mut texts = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        texts.push(column.is_valid(row).then(|| json(column, row)).transpose()?);
    }
    let texts = texts.into_iter().map(|value| value.map(|v| v.to_string()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// A value as JSON.
fn json(column: &ArrayRef, row: usize) -> Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::List(_) => elements(&column.as_list::<i32>().value(row))?,
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let pairs = fields.iter().zip(columns);
            let pairs = pairs.map(|(field, c)| Ok((field.name().clone(), json(c, row)?)));
            Value::Object(pairs.collect::<Result<Map<_, _>>>()?)
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let mut pairs = Map::new();
            for entry in 0..entries.len() {
                let key = match json(entries.column(0), entry)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                pairs.insert(key, json(entries.column(1), entry)?);
            }
            Value::Object(pairs)
        }
        _ => leaf(&column.slice(row, 1))?,
    })
}

fn elements(values: &ArrayRef) -> Result<Value> {
    (0..values.len()).map(|i| json(values, i)).collect::<Result<Vec<_>>>().map(Value::Array)
}

/// A value that holds no others. What JSON has no exact value for is a text.
fn leaf(value: &ArrayRef) -> Result<Value> {
    let value = plain(value)?;
    Ok(match CellColumn::new(value.as_ref())?.cell(0) {
        Cell::Null => Value::Null,
        Cell::Bool(b) => b.into(),
        Cell::Int(i) => i.into(),
        Cell::UInt(u) => u.into(),
        Cell::Float(x) if x.is_finite() => x.into(),
        other => other.to_string().into(),
    })
}
