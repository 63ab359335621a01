//! A table as a source: the same for every database.

use std::fmt;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{
    Chunk, ChunkLimits, Fault, Fingerprint, Position, Progress, Result, SINCE, Source, TableSpec,
};

use super::page::Page;
use super::place::{KeyValue, read_place};

/// How many rows are asked for while nobody knows how large they are.
const FIRST_PAGE: usize = 100;

/// How many rows are asked for at once where a chunk has no limit of its own.
const LARGEST_PAGE: usize = 10_000;

/// The part of reading that each database does its own way.
#[async_trait]
pub(crate) trait Pages: Send {
    /// Adds to `page`, in order, at most `most` of the rows behind a key (or
    /// from the start) and stops early where it is full.
    ///
    /// # Errors
    /// What keeps the table from being read; whatever was open is let go.
    async fn read(
        &mut self,
        behind: Option<Vec<KeyValue>>,
        most: usize,
        page: Page,
    ) -> Result<Page>;
}

/// What there is to know of a table before it is read.
#[derive(Debug)]
pub(crate) struct Described {
    /// Which database it is in, without secrets and without who asks.
    pub(crate) database: String,
    /// The columns of its items.
    pub(crate) schema: SchemaRef,
    /// What its rows are ordered by: the watermark if there is one, the key.
    pub(crate) order: Vec<String>,
}

/// A table that is read page by page.
pub(crate) struct TableSource<P> {
    pages: P,
    name: String,
    schema: SchemaRef,
    /// How many values a key has.
    values: usize,
    fingerprint: Fingerprint,
    /// Where a source starts that reads only what is new.
    since: Option<String>,
    at: Position,
    /// Rows read so far, and their bytes.
    seen: (usize, usize),
}

impl<P: Pages> TableSource<P> {
    pub(crate) fn new(spec: &TableSpec, described: Described, pages: P) -> Self {
        let Described { database, schema, order } = described;
        let columns: Vec<String> =
            schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let mut fingerprint = Fingerprint::default()
            .with("database", database)
            .with("table", &spec.table)
            .with("columns", columns.join(", "))
            .with("order", order.join(", "));
        if let Some(filter) = &spec.filter {
            fingerprint = fingerprint.with("where", filter);
        }
        Self {
            pages,
            name: spec.table.to_string(),
            schema,
            values: order.len(),
            fingerprint,
            since: spec.watermark.is_some().then(String::new),
            at: Position::default(),
            seen: (0, 0),
        }
    }

    /// The key at a place; none at the start.
    fn key(&self, place: &str) -> Result<Option<Vec<KeyValue>>> {
        if place.is_empty() {
            return Ok(None);
        }
        read_place(place, self.values).map(Some).ok_or_else(|| no_place(place, &self.name))
    }

    /// Where reading goes on.
    fn behind(&self, page: &Page) -> Result<Option<Vec<KeyValue>>> {
        match (page.last(), &self.since) {
            (Some(last), _) => Ok(Some(last.to_vec())),
            (None, Some(since)) if self.at.place.is_empty() => self.key(since),
            (None, _) => self.key(&self.at.place),
        }
    }

    /// How many rows to ask for, so that little is sent that the page has no
    /// room for.
    fn wanted(&self, page: &Page, limits: &ChunkLimits) -> usize {
        let items = match limits.items {
            0 => LARGEST_PAGE,
            items => items.saturating_sub(page.rows()),
        };
        let (rows, bytes) = (self.seen.0 + page.rows(), self.seen.1 + page.bytes());
        let room = match (limits.bytes, rows) {
            (0, _) => LARGEST_PAGE,
            (_, 0) => FIRST_PAGE,
            (most, _) => most.saturating_sub(page.bytes()) / (bytes / rows).max(1) + 1,
        };
        items.min(room).clamp(1, LARGEST_PAGE)
    }
}

fn no_place(place: &str, table: &str) -> Fault {
    Fault::config(format!("{place:?} is no place in table {table}"))
        .with_hint("start a new run with --again")
}

#[async_trait]
impl<P: Pages> Source for TableSource<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn fingerprint(&self) -> Fingerprint {
        match &self.since {
            Some(since) => self.fingerprint.clone().with(SINCE, since),
            None => self.fingerprint.clone(),
        }
    }

    fn start_behind(&mut self, place: &str) -> Result<bool> {
        if self.since.is_none() {
            return Ok(false);
        }
        self.key(place)?;
        self.since = Some(place.to_owned());
        Ok(true)
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        let is_start = position.ordinal == 0;
        let is_possible = position.ordinal <= Position::MOST;
        if !is_possible || self.key(&position.place)?.is_none() != is_start {
            return Err(no_place(&position.place, &self.name));
        }
        self.at = position.clone();
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let mut page = Page::new(&self.name, &self.schema, *limits, self.at.clone())?;
        loop {
            let (before, most) = (page.rows(), self.wanted(&page, limits));
            let behind = self.behind(&page)?;
            let read = self.pages.read(behind, most, page).await;
            page = read.map_err(|fault| fault.at(format_args!("table {}", self.name)))?;
            if page.is_full() || page.rows() - before < most {
                break;
            }
        }
        self.seen = (self.seen.0 + page.rows(), self.seen.1 + page.bytes());
        let chunk = page.finish()?;
        if let Some(chunk) = &chunk {
            self.at = chunk.end.clone();
        }
        Ok(chunk)
    }

    fn progress(&self) -> Progress {
        Progress { done: self.at.ordinal, total: None }
    }
}

impl<P> fmt::Debug for TableSource<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSource").field("name", &self.name).field("at", &self.at).finish()
    }
}
