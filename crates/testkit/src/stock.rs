//! A table with a key of two columns, and units whose items may share a key.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use kiln_core::{Duplicates, Mode, Rows, Span, TableName, Unit, Write, WriteColumn};

use crate::{Row, notes};

/// The tables in SQLite. The key stands in another order than in the writes.
pub const SQLITE: &str = "
    CREATE TABLE IF NOT EXISTS stock (
        code TEXT NOT NULL, place BIGINT NOT NULL, n BIGINT, amount TEXT, note TEXT DEFAULT 'new',
        twice BIGINT AS (n * 2), PRIMARY KEY (place, code), CHECK (n > -1000));
    CREATE TABLE IF NOT EXISTS moves (code TEXT PRIMARY KEY, place BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS totals (place BIGINT PRIMARY KEY, n BIGINT, amount TEXT);
    CREATE TABLE IF NOT EXISTS log (code TEXT, n BIGINT CHECK (n > -1000));
";

/// The tables in PostgreSQL.
pub const POSTGRES: &str = "
    CREATE TABLE IF NOT EXISTS stock (
        code text NOT NULL, place bigint NOT NULL, n bigint, amount numeric(38, 2),
        note text DEFAULT 'new', twice bigint GENERATED ALWAYS AS (n * 2) STORED,
        PRIMARY KEY (place, code), CHECK (n > -1000));
    CREATE TABLE IF NOT EXISTS moves (code text PRIMARY KEY, place bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS totals (place bigint PRIMARY KEY, n bigint, amount numeric(38, 2));
    CREATE TABLE IF NOT EXISTS log (code text, n bigint CHECK (n > -1000));
";

/// The tables in MariaDB.
pub const MYSQL: &str = "
    CREATE TABLE IF NOT EXISTS stock (
        code VARCHAR(50) NOT NULL, place BIGINT NOT NULL, n BIGINT, amount DECIMAL(38, 2),
        note VARCHAR(50) DEFAULT 'new', twice BIGINT AS (n * 2) STORED,
        PRIMARY KEY (place, code), CHECK (n > -1000));
    CREATE TABLE IF NOT EXISTS moves (code VARCHAR(50) PRIMARY KEY, place BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS totals (
        place BIGINT PRIMARY KEY, n BIGINT, amount DECIMAL(38, 2));
    CREATE TABLE IF NOT EXISTS log (code VARCHAR(50), n BIGINT, CHECK (n > -1000));
";

/// An item.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// One part of the key.
    pub code: Option<&'static str>,
    /// The other part.
    pub place: i64,
    /// A number; the tables refuse -1000 and less.
    pub n: Option<i64>,
    /// Hundredths.
    pub cents: i128,
    /// A text.
    pub note: Option<&'static str>,
}

/// An item of place 1 with this number, so many hundredths and no note.
pub fn item(code: &'static str, n: i64) -> Item {
    Item { code: Some(code), place: 1, n: Some(n), cents: i128::from(n), note: None }
}

/// A write to `stock` by its key: `n`, `amount` and, if asked for, `note`.
pub fn stock(mode: Mode, note: bool) -> Write {
    let columns: &[&str] = match (mode, note) {
        (Mode::Delete, _) => &["code", "place"],
        (_, false) => &["code", "place", "n", "amount"],
        (_, true) => &["code", "place", "n", "amount", "note"],
    };
    write("stock", mode, columns, &["code", "place"])
}

/// New rows of `moves`, known by their code.
pub fn moves(mode: Mode) -> Write {
    let key: &[&str] = if mode.is_keyed() { &["code"] } else { &[] };
    write("moves", mode, &["code", "place"], key)
}

/// What is added to `totals`, by place.
pub fn totals() -> Write {
    write("totals", Mode::Increment, &["place", "n", "amount"], &["place"])
}

/// New rows of `log`, which takes everything twice.
pub fn log() -> Write {
    write("log", Mode::Insert, &["code", "n"], &[])
}

fn write(table: &str, mode: Mode, columns: &[&str], key: &[&str]) -> Write {
    let column = |name: &&str| WriteColumn { column: (*name).into(), from: (*name).into() };
    Write {
        table: TableName { schema: None, name: table.to_owned() },
        stream: None,
        mode,
        columns: columns.iter().map(column).collect(),
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        on_duplicate: Duplicates::default(),
    }
}

/// The columns of items.
pub fn items() -> SchemaRef {
    batch(&[]).schema()
}

/// The unit of these items, the first with the ordinal behind `from`.
pub fn unit(from: u64, items: &[Item], writes: &[Write]) -> Unit {
    let ordinals: Vec<u64> = (from + 1..=from + items.len() as u64).collect();
    let all = batch(items);
    let rows = |write: &Write| {
        let columns = write.columns.iter().map(|c| {
            let array = all.column_by_name(&c.from).expect("a column of items");
            (c.column.as_str(), Arc::clone(array), true)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("a batch");
        Rows { batch, ordinals: ordinals.clone() }
    };
    let span = Span { from, to: from + items.len() as u64 };
    Unit {
        writes: writes.iter().map(rows).collect(),
        items: ordinals,
        start: notes::checkpoint(span.from),
        end: notes::checkpoint(span.to),
        span,
        ..notes::unit(0, &[], &[])
    }
}

fn batch(items: &[Item]) -> RecordBatch {
    let amounts = Decimal128Array::from_iter_values(items.iter().map(|i| i.cents));
    let amounts = amounts.with_precision_and_scale(38, 2).expect("decimals");
    let columns: [(&str, ArrayRef); 5] = [
        ("code", Arc::new(items.iter().map(|i| i.code).collect::<StringArray>())),
        ("place", Arc::new(items.iter().map(|i| i.place).collect::<Int64Array>())),
        ("n", Arc::new(items.iter().map(|i| i.n).collect::<Int64Array>())),
        ("amount", Arc::new(amounts)),
        ("note", Arc::new(items.iter().map(|i| i.note).collect::<StringArray>())),
    ];
    let columns = columns.map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

/// Rows on one line, as `code place n amount note twice`, sorted.
pub fn shown(rows: Vec<Row>) -> Vec<String> {
    let line = |row: Row| {
        let words = row.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned()));
        words.collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = rows.into_iter().map(line).collect();
    lines.sort();
    lines
}
