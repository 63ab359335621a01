//! A table as a source: the same for every database.

use std::fmt;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{
    Chunk, ChunkLimits, Fault, Fingerprint, Position, Progress, Result, SINCE, Source, TableSpec,
};
use serde_json::Value;

use super::beside::Beside;
use super::cut::Cutter;
use super::page::Page;
use super::place::{Key, key_of, write_place};
use super::ranges::Ranges;
use super::room::Seen;
use super::rows::Rows;
use super::window::Window;

/// The part of reading that each database does its own way.
#[async_trait]
pub(crate) trait Pages: Send + Sized + 'static {
    /// Adds the rows of a window to `page`, in order, and stops early where it is
    /// full.
    ///
    /// # Errors
    /// What keeps the table from being read; whatever was open is let go.
    async fn read(&mut self, window: &Window, page: Page) -> Result<Page>;

    /// Another reader of the same rows, on a connection of its own.
    fn another(&self) -> Self;

    /// A reader of the keys of the rows alone, of the moment at which it reads.
    fn of_keys(&self) -> Self;

    /// Has readers that have read nothing see the table at one moment, where they
    /// read by snapshots.
    ///
    /// # Errors
    /// What keeps them from it.
    async fn agree(readers: &mut [Self]) -> Result<()>;
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
    /// Whether values of the first of them are numbers, where they come as text.
    pub(crate) is_number: bool,
}

/// A table that is read page by page: by one reader, or by one for each range.
/// Which of the two is told by the place, so a run goes on as it began.
pub(crate) struct TableSource<P> {
    pages: P,
    name: String,
    described: Described,
    fingerprint: Fingerprint,
    /// Where a source starts that reads only what is new.
    since: Option<String>,
    at: Position,
    seen: Seen,
    /// Into how many ranges it is cut.
    many: usize,
    /// Where, once it is.
    bounds: Option<Vec<Key>>,
    /// The readers of ranges: at work, or not.
    beside: Option<Beside<P>>,
    idle: Vec<P>,
}

/// Where in a table.
enum Place {
    Start,
    /// Behind a row.
    Behind(Key),
    /// In several ranges.
    In(Ranges),
}

impl<P: Pages> TableSource<P> {
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if so many ranges can't be.
    pub(crate) fn new(spec: &TableSpec, described: Described, pages: P) -> Result<Self> {
        let most = TableSpec::MOST_RANGES;
        if !(1..=most).contains(&spec.ranges) {
            return Err(Fault::config(format!("a table is read in 1 to {most} ranges")));
        }
        let fields = described.schema.fields().iter();
        let columns: Vec<String> =
            fields.map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let mut fingerprint = Fingerprint::default()
            .with("database", &described.database)
            .with("table", &spec.table)
            .with("columns", columns.join(", "))
            .with("order", described.order.join(", "));
        if let Some(filter) = &spec.filter {
            fingerprint = fingerprint.with("where", filter);
        }
        Ok(Self {
            pages,
            name: spec.table.to_string(),
            described,
            fingerprint,
            since: spec.watermark.is_some().then(String::new),
            at: Position::default(),
            seen: Seen::default(),
            many: spec.ranges,
            bounds: None,
            beside: None,
            idle: Vec::new(),
        })
    }

    fn place(&self, place: &str) -> Result<Place> {
        if place.is_empty() {
            return Ok(Place::Start);
        }
        let values = self.described.order.len();
        let read = serde_json::from_str(place).ok().and_then(|json: Value| match json {
            Value::Object(_) => Ranges::read(&json, values).map(Place::In),
            json => key_of(&json, values).map(Place::Behind),
        });
        read.ok_or_else(|| no_place(place, &self.name))
    }

    /// The key that the start is behind.
    fn since(&self) -> Result<Option<Key>> {
        match self.place(self.since.as_deref().unwrap_or_default())? {
            Place::Behind(key) => Ok(Some(key)),
            _ => Ok(None),
        }
    }

    /// The ranges at their start.
    async fn cut(&mut self) -> Result<Ranges> {
        let bounds = match self.bounds.take() {
            Some(bounds) => bounds,
            None => {
                let (keys, is_number) = (self.pages.of_keys(), self.described.is_number);
                let cutter = Cutter::new(keys, &self.name, is_number);
                cutter.bounds(self.since()?, self.many).await?
            }
        };
        Ok(Ranges::new(self.bounds.insert(bounds)))
    }

    /// The ranges that are read from where the source is, if it is read in ranges.
    async fn beside(&mut self) -> Result<Option<Beside<P>>> {
        if let Some(beside) = self.beside.take() {
            return Ok(Some(beside));
        }
        let ranges = match self.place(&self.at.place)? {
            Place::In(ranges) => ranges,
            Place::Start if self.many > 1 => self.cut().await?,
            Place::Start | Place::Behind(_) => return Ok(None),
        };
        let mut pages = std::mem::take(&mut self.idle);
        if pages.len() != ranges.len() {
            pages = (0..ranges.len()).map(|_| self.pages.another()).collect();
            P::agree(&mut pages).await?;
        }
        let since = self.since()?;
        let beside = Beside::new(&self.name, &self.described.schema, pages, ranges, since.as_ref());
        Ok(Some(beside))
    }

    /// The next page of the one reader there is.
    async fn page(&mut self, limits: &ChunkLimits) -> Result<Rows> {
        let start = match self.place(&self.at.place)? {
            Place::Behind(key) => Some(key),
            _ => self.since()?,
        };
        let mut page = Page::new(&self.name, &self.described.schema, *limits)?;
        loop {
            let (before, most) = (page.rows(), self.seen.wanted(page.rows(), page.bytes(), limits));
            let behind = page.last().or(start.as_ref()).cloned();
            page = self.pages.read(&Window::behind(behind, most), page).await?;
            if page.is_full() || page.rows() - before < most {
                break;
            }
        }
        self.seen.add(page.rows(), page.bytes());
        page.finish()
    }

    /// The next rows, and the place behind them.
    async fn rows(&mut self, limits: &ChunkLimits) -> Result<(Rows, String)> {
        if let Some(mut beside) = self.beside().await? {
            let rows = beside.next(limits).await?;
            let place = beside.ranges().write();
            self.beside = Some(beside);
            return Ok((rows, place));
        }
        let rows = self.page(limits).await?;
        let place = rows.rows.last().map(|row| write_place(&row.key)).unwrap_or_default();
        Ok((rows, place))
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
        self.described.schema.clone()
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
        self.since = Some(match self.place(place)? {
            Place::In(ranges) => ranges.greatest().map(|key| write_place(key)).unwrap_or_default(),
            Place::Start | Place::Behind(_) => place.to_owned(),
        });
        Ok(true)
    }

    async fn start(&mut self) -> Result<Position> {
        if self.many == 1 {
            return Ok(Position::default());
        }
        let ranges = self.cut().await.map_err(|f| f.at(format_args!("table {}", self.name)))?;
        Ok(Position { ordinal: 0, place: ranges.write() })
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        let has_read = match self.place(&position.place)? {
            Place::Start => false,
            Place::Behind(_) => true,
            Place::In(ranges) => ranges.greatest().is_some(),
        };
        if position.ordinal > Position::MOST || has_read != (position.ordinal > 0) {
            return Err(no_place(&position.place, &self.name));
        }
        if let Some(beside) = self.beside.take() {
            self.idle = beside.into_pages().await.unwrap_or_default();
        }
        self.at = position.clone();
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let read = self.rows(limits).await;
        let (rows, place) = read.map_err(|fault| fault.at(format_args!("table {}", self.name)))?;
        let chunk = rows.chunk(&self.name, self.at.clone(), place);
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
