//! A query as a source.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use kiln_core::{
    Chunk, ChunkLimits, Fault, Fingerprint, Items, Position, Progress, Result, RowOrigins, Source,
};
use twox_hash::XxHash3_128;

use super::plan::{Planned, plan};
use super::stage::staged;
use super::staged::Staged;
use super::table::QueryTable;
use super::work::Work;

/// The least memory that a query can work in, in bytes.
const LEAST: usize = 4 << 20;

/// How a query is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryOptions {
    /// The folder for its result, and for what does not fit into memory. It is
    /// made if it is not there.
    pub folder: PathBuf,
    /// Whose query it is: results with another owner are left alone.
    pub owner: String,
    /// All else that tells whether a result is still the one that the query would
    /// give, such as how its tables are described.
    pub described: String,
    /// What its operators may hold, in bytes; at least 4 MiB are taken.
    pub memory: usize,
}

impl QueryOptions {
    /// The memory of a query if nothing else is said.
    pub const DEFAULT_MEMORY: usize = 512 << 20;
}

/// A SELECT over several sources.
///
/// * It is run when the first item is asked for, and its result is kept in a file
///   until all of it is committed ([`done`](Source::done)): who reads it again
///   has the same items.
/// * Its rows come in the order that it asks for; where that leaves rows equal, or
///   it asks for none, all its columns tell the order.
/// * A [`Position`]'s place is `row=12345;result=…`, with a hash of the whole
///   result: a place in another result is refused.
/// * Its fingerprint is made of those of its tables and of its text.
/// * A record of a table that can't be read ends the query with
///   [`Kind::InputInvalid`](kiln_core::Kind::InputInvalid).
/// * Sorts and aggregates, and joins on equal columns, that do not fit into memory
///   go on in files.
pub struct QuerySource {
    name: Arc<str>,
    query: Planned,
    fingerprint: Fingerprint,
    work: Work,
    /// The name of its result among all that its owner ever had.
    result: String,
    memory: usize,
    staged: Option<Staged>,
    position: Position,
    /// Whether an error came between, so that rows may have been lost.
    interrupted: bool,
}

impl QuerySource {
    /// Parses, checks and plans a query. Nothing is read yet.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for what is no SELECT over these
    /// tables, unknown names, types that do not fit, and what can't be an item.
    pub fn new(sql: &str, tables: Vec<QueryTable>, options: QueryOptions) -> Result<Self> {
        let tables: Vec<Arc<QueryTable>> = tables.into_iter().map(Arc::new).collect();
        let query = plan(sql, &tables)?;
        let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
        let fingerprint = fingerprint(&query, &tables);
        let mut parts: Vec<&str> = vec![&options.described];
        parts.extend(fingerprint.0.iter().flat_map(|(name, part)| [name.as_str(), part]));
        Ok(Self {
            name: format!("query over {}", names.join(", ")).into(),
            result: hash(&parts),
            work: Work::new(&options.folder, &hash(&[&options.owner])),
            fingerprint,
            query,
            memory: options.memory.max(LEAST),
            staged: None,
            position: Position::default(),
            interrupted: false,
        })
    }

    /// The result, made if it is not there.
    async fn staged(&mut self) -> Result<&mut Staged> {
        let staged = match self.staged.take() {
            Some(staged) => staged,
            None => staged(&self.query, &self.work, &self.result, self.memory).await?,
        };
        Ok(self.staged.insert(staged))
    }

    async fn go_to(&mut self, position: &Position) -> Result<()> {
        if *position != Position::default() {
            let foreign = || {
                Fault::config(format!(
                    "{}: {:?} behind item {} is no position in its result",
                    self.name, position.place, position.ordinal
                ))
            };
            let content = content_of(position).ok_or_else(foreign)?.to_owned();
            let foreign = foreign();
            let Staged { count, content: now, .. } = self.staged().await?;
            if *now != content {
                return Err(Fault::config(
                    "the query has another result than when the run began",
                )
                .with_hint(
                    "put its tables' options back as they were, or start a new run with --again",
                ));
            }
            if position.ordinal > *count {
                return Err(foreign);
            }
        }
        self.position = position.clone();
        Ok(())
    }

    async fn read(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let before = self.position.ordinal;
        let schema = Arc::clone(&self.query.schema);
        let staged = self.staged().await?;
        let began = Instant::now();
        let (mut ordinal, mut bytes) = (before, 0);
        let mut parts = Vec::new();
        while let Some(batch) = staged.rows_from(ordinal)? {
            let each = (batch.get_array_memory_size() / batch.num_rows()).max(1);
            let rows = usize::try_from(ordinal - before).unwrap_or(usize::MAX);
            let take = fits(limits, rows, bytes, batch.num_rows(), each);
            ordinal += take as u64;
            bytes += take * each;
            let late = !limits.age.is_zero() && began.elapsed() >= limits.age;
            let full = limits.items > 0 && rows + take >= limits.items
                || limits.bytes > 0 && bytes >= limits.bytes;
            parts.push(batch.slice(0, take));
            if full || late {
                break;
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let place = written(ordinal, &staged.content);
        let batch = concat_batches(&schema, &parts)
            .map_err(|e| Fault::bug(format!("{}: its rows are no batch: {e}", self.name)))?;
        let end = Position { ordinal, place };
        let origins = RowOrigins { source: Arc::clone(&self.name), before, batch: batch.clone() };
        let ordinals = (before + 1..=ordinal).collect();
        let items = Items { batch, ordinals, origins: Arc::new(origins) };
        let start = std::mem::replace(&mut self.position, end.clone());
        Ok(Some(Chunk { start, end, items, failures: Vec::new() }))
    }
}

/// How many of `of` rows of that size fit into what the limits leave; a row that
/// is larger than the limit is a chunk of its own.
fn fits(limits: &ChunkLimits, rows: usize, bytes: usize, of: usize, each: usize) -> usize {
    let by_items = match limits.items {
        0 => of,
        items => items.saturating_sub(rows),
    };
    let by_bytes = match limits.bytes {
        0 => of,
        most => most.saturating_sub(bytes).div_ceil(each),
    };
    of.min(by_items).min(by_bytes).max(1)
}

fn written(row: u64, content: &str) -> String {
    format!("row={row};result={content}")
}

/// The content of the result in which the position lies, if it is one at all.
fn content_of(position: &Position) -> Option<&str> {
    let (row, content) = position.place.strip_prefix("row=")?.split_once(";result=")?;
    let row: u64 = row.parse().ok()?;
    let is_place = row == position.ordinal && row <= Position::MOST;
    (is_place && position.place == written(row, content)).then_some(content)
}

/// What the query and its tables look like now. The parts of a table have its
/// name before theirs.
fn fingerprint(query: &Planned, tables: &[Arc<QueryTable>]) -> Fingerprint {
    let mut all = Fingerprint::default().with("query", hash(&[&query.text]));
    for table in tables {
        for (part, value) in &table.fingerprint.0 {
            all = all.with(format!("{part} of {}", table.name), value);
        }
        let columns = table.schema.fields().iter();
        let types: Vec<String> = columns.map(|f| f.data_type().to_string()).collect();
        all = all.with(format!("types of {}", table.name), types.join(", "));
    }
    all
}

/// A short name for some texts.
fn hash(parts: &[&str]) -> String {
    let mut hasher = XxHash3_128::new();
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    format!("{:032x}", hasher.finish_128())
}

#[async_trait]
impl Source for QuerySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.query.schema)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    /// Runs the query, and tells its result.
    async fn start(&mut self) -> Result<Position> {
        Ok(Position { ordinal: 0, place: written(0, &self.staged().await?.content) })
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        self.interrupted = true;
        self.go_to(position).await?;
        self.interrupted = false;
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        if self.interrupted {
            return Err(Fault::bug(format!("{} was read on behind an error", self.name)));
        }
        self.interrupted = true;
        let chunk = self.read(limits).await?;
        self.interrupted = false;
        Ok(chunk)
    }

    /// In rows: how many there are is known only when the query has run.
    fn progress(&self) -> Progress {
        Progress { done: self.position.ordinal, total: None }
    }

    fn done(&mut self) {
        self.staged = None;
        self.work.remove();
    }
}
