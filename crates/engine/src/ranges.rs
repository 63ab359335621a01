//! Statements as items: one alone, or one for each stretch of a table's keys.

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{
    Cell, CellColumn, Chunk, ChunkLimits, Fault, Fingerprint, Items, NoOrigins, Position, Progress,
    Result, Source,
};
use serde_json::{Value, json};

use crate::memory::MemorySource;
use crate::statement::Statement;

/// The items of a step that runs statements: one text each.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("statement", DataType::Utf8, false)]))
}

/// One item for so many keys, and one more for the rest: a statement in which
/// `:from` is the last key before them and `:to` the last of them.
pub(crate) struct Ranges {
    statement: Statement,
    keys: Box<dyn Source>,
    size: usize,
    at: Place,
}

/// Where in the keys an item ends.
#[derive(Debug, Clone, Default)]
struct Place {
    /// How many items lie before.
    items: u64,
    /// Where the keys go on.
    keys: Position,
    /// The last key; none before the first.
    last: Option<i64>,
}

impl Ranges {
    /// `keys` gives the keys in order, whole numbers in its only column.
    pub(crate) fn new(statement: Statement, keys: Box<dyn Source>, size: usize) -> Self {
        Self { statement, keys, size: size.max(1), at: Place::default() }
    }

    /// Reads the keys of the next item, and gives the first and the last of them.
    async fn read(&mut self) -> Result<Option<(i64, i64)>> {
        let mut ends: Option<(i64, i64)> = None;
        let mut left = self.size;
        while left > 0 {
            let limits = ChunkLimits { items: left, ..ChunkLimits::default() };
            let Some(chunk) = self.keys.next(&limits).await? else { break };
            let column = chunk.items.batch.columns().first();
            let column = column.ok_or_else(|| Fault::bug("keys without a column"))?;
            let cells = CellColumn::new(column.as_ref())?;
            let rows = chunk.items.len();
            for row in [0, rows.saturating_sub(1)].into_iter().take(rows) {
                let key = whole(&cells.cell(row), self.keys.name())?;
                ends = Some((ends.map_or(key, |(first, _)| first), key));
            }
            if let Some(failure) = chunk.failures.into_iter().next() {
                return Err(Fault::config(failure.fault.message()));
            }
            left = left.saturating_sub(rows.max(1));
            self.at.keys = chunk.end;
        }
        Ok(ends)
    }
}

fn whole(key: &Cell<'_>, of: &str) -> Result<i64> {
    let number = match key {
        Cell::Int(n) => Some(*n),
        Cell::UInt(n) => i64::try_from(*n).ok(),
        Cell::Decimal(n, 0) => i64::try_from(*n).ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        Fault::config(format!("{of} has the key {key}, which is no whole number of 64 bits"))
            .with_hint("a statement is run by a key of whole numbers")
    })
}

impl Place {
    fn position(&self) -> Position {
        if self.items == 0 {
            return Position::default();
        }
        let keys = json!([self.keys.ordinal, self.keys.place, self.last]);
        Position { ordinal: self.items, place: keys.to_string() }
    }

    fn of(position: &Position) -> Option<Self> {
        if position.place.is_empty() {
            return (position.ordinal == 0).then(Self::default);
        }
        if position.ordinal > Position::MOST {
            return None;
        }
        let keys: Value = serde_json::from_str(&position.place).ok()?;
        let place = keys.get(1)?.as_str()?.to_owned();
        Some(Self {
            items: position.ordinal,
            keys: Position { ordinal: keys.get(0)?.as_u64()?, place },
            last: keys.get(2)?.as_i64(),
        })
    }
}

#[async_trait]
impl Source for Ranges {
    fn name(&self) -> &str {
        self.keys.name()
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.keys.fingerprint()
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        let place = Place::of(position).ok_or_else(|| {
            Fault::config(format!("{position:?} is no position in {}", self.name()))
        })?;
        self.keys.seek(&place.keys).await?;
        self.at = place;
        Ok(())
    }

    /// One item, whatever the limits: each is a transaction of its own.
    async fn next(&mut self, _: &ChunkLimits) -> Result<Option<Chunk>> {
        let start = self.at.position();
        let Some((first, to)) = self.read().await? else { return Ok(None) };
        let from = self.at.last.unwrap_or(first.saturating_sub(1));
        self.at.items += 1;
        self.at.last = Some(to);
        let items = item(self.at.items, &self.statement.between(from, to))?;
        Ok(Some(Chunk { start, end: self.at.position(), items, failures: Vec::new() }))
    }

    fn progress(&self) -> Progress {
        self.keys.progress()
    }
}

fn item(ordinal: u64, statement: &str) -> Result<Items> {
    Ok(Items { batch: batch(statement)?, ordinals: vec![ordinal], origins: Arc::new(NoOrigins) })
}

fn batch(statement: &str) -> Result<RecordBatch> {
    RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(vec![statement]))])
        .map_err(|e| Fault::bug(format!("a statement is no item: {e}")))
}

/// A source whose only item is this text.
pub(crate) fn only(text: &str) -> Result<MemorySource> {
    Ok(MemorySource::new(text, batch(text)?))
}
