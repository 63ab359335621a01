//! What the rows of a table are ordered by, and values of it as the server
//! compares them.
//!
//! A value is compared as one of its column's own type, so that it is found by
//! the index, and lies where the order has it. Texts are compared by the column's
//! collation, which is also the index's: two that it finds equal can't both be
//! there.

use kiln_core::{Fault, Result, TableSpec};
use mysql_async::Value;

use super::encode::push_hex;
use super::table::{Column, Table, Unique, no_column, same_name};
use super::types::Family;
use crate::pages::{KeyValue, no_primary_key, not_unique, nullable};

/// What rows are ordered by.
pub(super) struct Order<'a> {
    /// The watermark, if there is one, and the key.
    pub(super) columns: Vec<&'a Column>,
    pub(super) kinds: Vec<KeyKind>,
    /// The index in which rows lie in this order, if there is one.
    pub(super) index: Option<&'a str>,
}

impl<'a> Order<'a> {
    /// The order of a table's rows.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if no key is sure to find every
    /// row once.
    pub(super) fn of(table: &'a Table, spec: &TableSpec) -> Result<Self> {
        let mut columns: Vec<&Column> = Vec::new();
        let watermark = spec.watermark.iter().map(|name| column(table, spec, name));
        for part in watermark.chain(key(table, spec)?.into_iter().map(Ok)) {
            let part = part?;
            if columns.iter().all(|known| known.name != part.name) {
                columns.push(part);
            }
        }
        let kinds = columns.iter().map(|c| KeyKind::of(c, spec)).collect::<Result<_>>()?;
        let lies_so = |unique: &&Unique| {
            is_key(unique)
                && unique.columns.len() == columns.len()
                && unique.columns.iter().zip(&columns).all(|(name, c)| same_name(name, &c.name))
        };
        let index = table.unique.iter().find(lies_so).map(|unique| unique.index.as_str());
        Ok(Self { columns, kinds, index })
    }
}

/// The column of a table that is to be read.
pub(super) fn column<'a>(table: &'a Table, spec: &TableSpec, name: &str) -> Result<&'a Column> {
    table.column(name).ok_or_else(|| no_column(&spec.table, table, name))
}

/// The key that the job names, or the primary key.
fn key<'a>(table: &'a Table, spec: &TableSpec) -> Result<Vec<&'a Column>> {
    let is_primary = |unique: &&Unique| is_key(unique) && unique.index == "PRIMARY";
    let primary = table.unique.iter().find(is_primary);
    let names = match (primary, spec.key.is_empty()) {
        (Some(primary), true) => &primary.columns,
        (None, true) => return Err(no_primary_key(&spec.table)),
        (_, false) => &spec.key,
    };
    let key: Vec<&Column> =
        names.iter().map(|name| column(table, spec, name)).collect::<Result<_>>()?;
    if let Some(part) = key.iter().find(|c| !c.not_null) {
        return Err(nullable(&spec.table, &part.name));
    }
    let is_in_key = |name: &String| key.iter().any(|c| same_name(&c.name, name));
    let is_fine = |unique: &Unique| is_key(unique) && unique.columns.iter().all(is_in_key);
    match table.unique.iter().any(is_fine) {
        true => Ok(key),
        false => Err(not_unique(&spec.table, names)),
    }
}

/// Whether rows can be found by an index and be read in its order.
fn is_key(unique: &Unique) -> bool {
    unique.is_plain && unique.is_sorted
}

/// How values of a column are written so that the server compares them as it
/// orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// Digits.
    Number,
    Text,
    Bytes,
    /// The word before a literal: `DATE '…'`.
    Moment(&'static str),
    /// The type of a cast.
    Cast(&'static str),
}

impl KeyKind {
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for a type whose values the
    /// server compares otherwise than it orders them.
    fn of(column: &Column, spec: &TableSpec) -> Result<Self> {
        let why = match column.family {
            Family::Int | Family::Numeric(_) | Family::Year | Family::Bit => {
                return Ok(Self::Number);
            }
            Family::Text if is_padded(column) => {
                "which is ordered with blanks that are not compared"
            }
            Family::Text => return Ok(Self::Text),
            Family::Bytes(_) => return Ok(Self::Bytes),
            Family::Date => return Ok(Self::Moment("DATE")),
            Family::Time(_) => return Ok(Self::Moment("TIME")),
            Family::Timestamp(_) => return Ok(Self::Moment("TIMESTAMP")),
            Family::Other => match column.type_name.as_str() {
                "uuid" => return Ok(Self::Cast("UUID")),
                "inet4" => return Ok(Self::Cast("INET4")),
                "inet6" => return Ok(Self::Cast("INET6")),
                _ => "which has no order to rely on",
            },
            Family::Float(_) => "which is never compared exactly",
            Family::Words => "which is ordered by numbers and compared by words",
        };
        let Column { name, type_name, .. } = column;
        let table = &spec.table;
        Err(Fault::config(format!(
            "rows of {table} can't be read by {name}: it is {type_name}, {why}"
        ))
        .with_column(name)
        .with_hint("name a key (and a watermark) of numbers, texts, bytes, dates or times"))
    }

    /// What was selected of a row's key.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for what is no value of it.
    pub(super) fn read(self, value: Option<&Value>) -> Result<KeyValue> {
        match (self, value) {
            (_, None | Some(Value::NULL)) => Err(Fault::config("a row has a NULL in its key")),
            (Self::Bytes, Some(Value::Bytes(bytes))) => Ok(KeyValue::Bytes(bytes.clone())),
            (_, Some(Value::Bytes(bytes))) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(KeyValue::Text(text.to_owned())),
                Err(_) => Err(Fault::config("a row has a text in its key that is not UTF-8")),
            },
            (_, Some(_)) => Err(Fault::bug("a row's key came in another form than text")),
        }
    }

    /// A value in SQL, for a session that knows no escapes but doubled quotes.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for a value that is none of a
    /// column of this kind.
    pub(super) fn literal(self, value: &KeyValue) -> Result<String> {
        Ok(match (self, value) {
            (Self::Number, KeyValue::Text(text)) if is_number(text) => text.clone(),
            (Self::Text, KeyValue::Text(text)) => quoted_text(text),
            (Self::Moment(word), KeyValue::Text(text)) => format!("{word} {}", quoted_text(text)),
            (Self::Cast(type_), KeyValue::Text(text)) => {
                format!("CAST({} AS {type_})", quoted_text(text))
            }
            (Self::Bytes, KeyValue::Bytes(bytes)) => {
                let mut sql = "x'".to_owned();
                push_hex(&mut sql, bytes);
                sql + "'"
            }
            (_, other) => return Err(Fault::config(format!("{other:?} is no key of a row"))),
        })
    }
}

/// MariaDB keeps blanks behind the texts of such a column, and orders by them.
fn is_padded(column: &Column) -> bool {
    column.type_name.starts_with("char(") && column.declared.contains("_nopad_")
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
}

pub(super) fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_anything_but_a_value() {
        let text = |text: &str| KeyValue::Text(text.to_owned());
        let literal = |kind: KeyKind, value| kind.literal(&value).ok();
        assert_eq!(literal(KeyKind::Text, text("a'b\\")).as_deref(), Some("'a''b\\'"));
        assert_eq!(literal(KeyKind::Moment("DATE"), text("x'")).as_deref(), Some("DATE 'x'''"));
        assert_eq!(literal(KeyKind::Cast("UUID"), text("a")).as_deref(), Some("CAST('a' AS UUID)"));
        assert_eq!(
            literal(KeyKind::Bytes, KeyValue::Bytes(vec![0, 255])).as_deref(),
            Some("x'00ff'")
        );
        for number in ["0", "-12.50", "18446744073709551615", "00042"] {
            assert_eq!(literal(KeyKind::Number, text(number)).as_deref(), Some(number));
        }
        for other in ["", "-", "1 OR 1", "1e5", "0x1", ".5", "1.5.5", "NULL"] {
            assert_eq!(literal(KeyKind::Number, text(other)), None, "{other}");
        }
        assert_eq!(literal(KeyKind::Text, KeyValue::Int(1)), None);
        assert_eq!(literal(KeyKind::Bytes, text("a")), None);
    }
}
