//! Pages of a table's rows, read beside whoever writes.

use arrow_schema::DataType;
use async_trait::async_trait;
use kiln_core::{Cell, Fault, Result};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row};

use super::fault;
use super::number::Number;
use super::place::Place;
use super::session::at;
use super::types::Takes;
use crate::fit::type_name;
use crate::pages::{
    KeyValue, Misfit, Page, Pages, Statement, Window, date, fits, hex, lost_snapshot, of_source,
    time, timestamp,
};

/// What the values of a column are read as.
#[derive(Debug, Clone)]
pub(super) struct ReadAs {
    pub(super) type_: DataType,
    /// What the column makes of values that are written to it.
    pub(super) takes: Takes,
}

/// The rows of a table, on a connection of its own.
pub(super) struct SqlitePages {
    place: Place,
    reader: Option<Reader>,
    statement: Statement,
    columns: Vec<ReadAs>,
    snapshot: bool,
}

/// What a page needs; it is lent to a thread that may wait.
struct Reader {
    connection: Connection,
    columns: Vec<ReadAs>,
}

impl SqlitePages {
    pub(super) fn new(
        place: Place,
        statement: Statement,
        columns: Vec<ReadAs>,
        snapshot: bool,
    ) -> Self {
        Self { place, reader: None, statement, columns, snapshot }
    }
}

#[async_trait]
impl Pages for SqlitePages {
    async fn read(&mut self, window: &Window, page: Page) -> Result<Page> {
        let (reader, place, snapshot) = (self.reader.take(), self.place.clone(), self.snapshot);
        let began = reader.is_some();
        let (columns, mut key) = (self.columns.clone(), Vec::new());
        let sql = self.statement.sql(window, |_, value| {
            key.push(value.clone());
            Ok(format!("?{}", key.len()))
        })?;
        let read = move || {
            let reader = match reader {
                Some(reader) => reader,
                None => Reader::open(&place, columns, snapshot)?,
            };
            let page = reader.read(&sql, &key, page).map_err(|f| f.at(&place))?;
            Ok((reader, page))
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok((reader, page))) => {
                self.reader = Some(reader);
                Ok(page)
            }
            Ok(Err(fault)) if began && snapshot => Err(lost_snapshot(of_source(fault))),
            Ok(Err(fault)) => Err(of_source(fault)),
            Err(error) => Err(Fault::bug(format!("reading broke off: {error}"))),
        }
    }

    fn another(&self) -> Self {
        let (place, statement) = (self.place.clone(), self.statement.clone());
        Self::new(place, statement, self.columns.clone(), self.snapshot)
    }

    fn of_keys(&self) -> Self {
        Self::new(self.place.clone(), self.statement.of_keys(), Vec::new(), false)
    }

    /// While one connection could write, no other does; and what is looked at in
    /// the meantime is the same.
    async fn agree(readers: &mut [Self]) -> Result<()> {
        let Some(first) = readers.first().filter(|first| first.snapshot) else { return Ok(()) };
        let (place, many, columns) = (first.place.clone(), readers.len(), first.columns.clone());
        let open = move || {
            let still = place.open_to_look()?;
            still.execute_batch("BEGIN IMMEDIATE").map_err(|e| unsettled(&place, e))?;
            let begun = |_| {
                let reader = Reader::open(&place, columns.clone(), true)?;
                let look = "SELECT count(*) FROM sqlite_schema";
                reader.connection.query_row(look, [], |_| Ok(())).map_err(at(&place))?;
                Ok(reader)
            };
            let begun: Vec<Reader> = (0..many).map(begun).collect::<Result<_>>()?;
            still.execute_batch("ROLLBACK").map_err(at(&place))?;
            Ok(begun)
        };
        let begun = tokio::task::spawn_blocking(open).await;
        let begun = begun.map_err(|e| Fault::bug(format!("reading broke off: {e}"))).flatten()?;
        for (pages, reader) in readers.iter_mut().zip(begun) {
            pages.reader = Some(reader);
        }
        Ok(())
    }
}

/// Why nobody can be kept from writing for a moment.
fn unsettled(place: &Place, error: rusqlite::Error) -> Fault {
    let fault = at(place)(error);
    match fault.is_transient() {
        true => fault,
        false => fault.with_hint(
            "a snapshot that several ranges share needs a file that may be written to: leave \
             ranges or snapshot out",
        ),
    }
}

impl Reader {
    fn open(place: &Place, columns: Vec<ReadAs>, snapshot: bool) -> Result<Self> {
        let connection = place.open_to_read()?;
        if snapshot {
            connection.execute_batch("BEGIN").map_err(at(place))?;
        }
        Ok(Self { connection, columns })
    }

    fn read(&self, sql: &str, key: &[KeyValue], mut page: Page) -> Result<Page> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault::classify)?;
        for (value, i) in key.iter().zip(1..) {
            statement.raw_bind_parameter(i, bound(value)).map_err(fault::classify)?;
        }
        let mut rows = statement.raw_query();
        let mut texts = vec![String::new(); self.columns.len()];
        while let Some(row) = rows.next().map_err(fault::classify)? {
            self.push(row, &mut texts, &mut page)?;
            if page.is_full() {
                break;
            }
        }
        Ok(page)
    }

    /// Adds a row to a page; `texts` is room for values that are written as
    /// text.
    fn push(&self, row: &Row<'_>, texts: &mut [String], page: &mut Page) -> Result<()> {
        let columns = self.columns.len();
        let value = |i| row.get_ref(i).map_err(fault::classify);
        let mut cells = Vec::with_capacity(columns);
        for (i, (read_as, text)) in self.columns.iter().zip(texts).enumerate() {
            cells.push(cell(value(i)?, read_as, text));
        }
        let last = row.as_ref().column_count();
        let key = (columns..last).map(|i| key(value(i)?)).collect::<Result<_>>()?;
        page.push(key, &cells)
    }
}

/// A value of a key as SQLite has it.
fn key(value: ValueRef<'_>) -> Result<KeyValue> {
    Ok(match value {
        ValueRef::Null => return Err(Fault::config("a row has a NULL in its key")),
        ValueRef::Integer(i) => KeyValue::Int(i),
        ValueRef::Real(x) => KeyValue::Real(x),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => KeyValue::Text(text.to_owned()),
            Err(_) => KeyValue::BadText(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => KeyValue::Bytes(bytes.to_vec()),
    })
}

fn bound(value: &KeyValue) -> ToSqlOutput<'_> {
    match value {
        KeyValue::Int(i) => ToSqlOutput::Owned(Value::Integer(*i)),
        KeyValue::Real(x) => ToSqlOutput::Owned(Value::Real(*x)),
        KeyValue::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        KeyValue::BadText(bytes) => ToSqlOutput::Borrowed(ValueRef::Text(bytes)),
        KeyValue::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
    }
}

/// What was read in a column; `text` is room for a number that is read as text.
fn cell<'a>(
    value: ValueRef<'a>,
    ReadAs { type_, takes }: &ReadAs,
    text: &'a mut String,
) -> Result<Cell<'a>, Misfit> {
    let misfit = |why: &str| Misfit { raw: shown(value), why: why.to_owned() };
    let moment = match value {
        ValueRef::Null => return Ok(Cell::Null),
        ValueRef::Text(bytes) => {
            Some(std::str::from_utf8(bytes).map_err(|_| misfit("is not UTF-8"))?)
        }
        _ => None,
    };
    let read = match (type_, value) {
        (DataType::Boolean, ValueRef::Integer(i @ 0..=1)) => Some(Cell::Bool(i == 1)),
        (DataType::Int64, ValueRef::Integer(i)) => Some(Cell::Int(i)),
        (DataType::Float64, ValueRef::Real(x)) => Some(Cell::Float(x)),
        (DataType::Float64, ValueRef::Integer(i)) => whole(i).map(Cell::Float),
        (DataType::Binary, ValueRef::Blob(bytes)) => Some(Cell::Bytes(bytes)),
        (DataType::Decimal128(p, s), _) => decimal(value, *p, *s).map(|d| Cell::Decimal(d, *s)),
        (DataType::Date32, _) => moment.and_then(date).map(Cell::Date),
        (DataType::Time64(_), _) => moment.and_then(time).map(Cell::Time),
        (DataType::Timestamp(_, zone), _) => moment
            .and_then(|text| timestamp(text, zone.is_some()))
            .map(|us| Cell::Timestamp(us, zone.is_some())),
        (DataType::Utf8, ValueRef::Text(_)) => moment.map(Cell::Text),
        // Written to such a column, its text is the number again.
        (DataType::Utf8, ValueRef::Integer(_) | ValueRef::Real(_))
            if matches!(takes, Takes::Number | Takes::Word) =>
        {
            *text = shown(value);
            Some(Cell::Text(text))
        }
        _ => None,
    };
    read.ok_or_else(|| misfit(&format!("holds {}, which is no {}", kind(value), type_name(type_))))
}

/// A whole number that a float keeps.
fn whole(i: i64) -> Option<f64> {
    (i.unsigned_abs() <= 1 << 53).then_some(i as f64)
}

/// The digits of a number with so many of them behind the point.
fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Option<i128> {
    let number = Number::of_value(value)?;
    let digits = number.at_exactly(u32::try_from(scale).ok()?)?;
    fits(digits, precision).then_some(digits)
}

/// A value as text: of a float the shortest that is the same one.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(i) => i.to_string(),
        ValueRef::Real(x) => x.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => hex(bytes),
    }
}

fn kind(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "nothing",
        ValueRef::Integer(_) => "an integer",
        ValueRef::Real(_) => "a float",
        ValueRef::Text(_) => "a text",
        ValueRef::Blob(_) => "a blob",
    }
}
