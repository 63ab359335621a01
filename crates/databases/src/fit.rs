//! What both sides of a column are called, and the fault if they do not fit.

use arrow_schema::DataType;
use kiln_core::{Fault, Mode, Write};

/// The kind of an item's column, as far as it matters to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemType {
    /// Nothing but NULL.
    Null,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A float.
    Float,
    /// An exact number: how many digits it may have, and how many of them stand
    /// behind the point.
    Decimal(u8, i8),
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A day.
    Date,
    /// A time of day.
    Time,
    /// A date and time; true for an instant.
    Timestamp(bool),
}

impl ItemType {
    /// The kind of a column; `None` for what kiln does not write, such as lists.
    pub(crate) fn of(type_: &DataType) -> Option<Self> {
        Some(match type_ {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool,
            t if t.is_integer() => Self::Int,
            DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Decimal128(precision, scale) => Self::Decimal(*precision, *scale),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary => Self::Bytes,
            DataType::Date32 => Self::Date,
            DataType::Time64(arrow_schema::TimeUnit::Microsecond) => Self::Time,
            DataType::Timestamp(_, zone) => Self::Timestamp(zone.is_some()),
            _ => return None,
        })
    }
}

/// The type of an item's column in the words of the job file.
pub(crate) fn type_name(type_: &DataType) -> String {
    match ItemType::of(type_) {
        Some(ItemType::Null) => "null".to_owned(),
        Some(ItemType::Bool) => "bool".to_owned(),
        Some(ItemType::Int) => "int".to_owned(),
        Some(ItemType::Float) => "float".to_owned(),
        Some(ItemType::Decimal(precision, scale)) => format!("decimal({precision},{scale})"),
        Some(ItemType::Text) => "text".to_owned(),
        Some(ItemType::Bytes) => "bytes".to_owned(),
        Some(ItemType::Date) => "date".to_owned(),
        Some(ItemType::Time) => "time".to_owned(),
        Some(ItemType::Timestamp(false)) => "timestamp".to_owned(),
        Some(ItemType::Timestamp(true)) => "timestamp with time zone".to_owned(),
        None => type_.to_string(),
    }
}

/// The fault of an item's column `from` that does not fit `table.column`, which
/// the database calls `declared`.
pub(crate) fn misfit(
    table: &str,
    column: &str,
    declared: &str,
    from: &str,
    type_: &DataType,
) -> Fault {
    let item = type_name(type_);
    let declared = if declared.is_empty() { "untyped" } else { declared };
    Fault::config(format!("{table}.{column} is {declared}; the item's {from} is {item}"))
        .with_column(column)
        .with_hint(format!("cast {from} in [map] sql, or change the column's type"))
}

/// What is wrong with a write by itself, whatever its table: `same` tells whether
/// two names are one to the database.
pub(crate) fn misshapen(write: &Write, same: fn(&str, &str) -> bool) -> Option<Fault> {
    let Write { table, mode, columns, key, .. } = write;
    let word = mode.as_str();
    let is_written = |name: &String| columns.iter().any(|c| same(&c.column, name));
    let beside = columns.iter().filter(|c| !key.iter().any(|name| same(&c.column, name))).count();
    if !mode.is_keyed() {
        return None;
    }
    if key.is_empty() {
        return Some(
            Fault::config(format!("{table}: mode {word} needs a key"))
                .with_hint("name the columns by which a row is found"),
        );
    }
    if let Some(missing) = key.iter().find(|name| !is_written(name)) {
        return Some(
            Fault::config(format!("{table}: the key {missing} is not among the columns"))
                .with_column(missing)
                .with_hint("a row is found by the values of its key: add it to the columns"),
        );
    }
    match mode {
        Mode::Upsert | Mode::Update | Mode::Increment if beside == 0 => Some(
            Fault::config(format!("{table}: mode {word} needs a column beside its key")).with_hint(
                "add what is to be written; mode ignore makes rows that have nothing but a key",
            ),
        ),
        Mode::Increment if !columns.iter().zip(key).all(|(c, name)| same(&c.column, name)) => Some(
            Fault::config(format!("{table}: an increment writes its key, then what it adds"))
                .with_hint("name the key's columns first, then what is added"),
        ),
        Mode::Delete if beside > 0 => Some(
            Fault::config(format!("{table}: mode delete takes its key and no other column"))
                .with_hint("leave the other columns out"),
        ),
        _ => None,
    }
}
