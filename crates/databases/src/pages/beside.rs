//! Ranges of a table that are read side by side.

use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;
use kiln_core::{ChunkLimits, Fault, Result};
use tokio::task::JoinSet;

use super::page::{Page, is_full};
use super::place::Key;
use super::ranges::Ranges;
use super::room::Seen;
use super::rows::{Row, Rows};
use super::source::Pages;
use super::window::Window;

/// One reader for each range, and whose turn it is.
pub(super) struct Beside<P> {
    readers: Vec<Reader<P>>,
    ranges: Ranges,
    table: String,
    schema: SchemaRef,
}

impl<P: Pages> Beside<P> {
    /// Goes on in each range, with as many readers as there are ranges.
    pub(super) fn new(
        table: &str,
        schema: &SchemaRef,
        pages: Vec<P>,
        ranges: Ranges,
        since: Option<&Key>,
    ) -> Self {
        let reader = |(i, pages)| {
            let (behind, upto) = ranges.ends(i, since);
            let is_done = ranges.is_done(i);
            Reader { behind, upto, is_done, ..Reader::new(pages) }
        };
        let readers = pages.into_iter().enumerate().map(reader).collect();
        Self { readers, ranges, table: table.to_owned(), schema: SchemaRef::clone(schema) }
    }

    /// Where they are.
    pub(super) fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// The readers without what they have read ahead; none if one is lost.
    pub(super) async fn into_pages(self) -> Option<Vec<P>> {
        let mut all = Vec::with_capacity(self.readers.len());
        for reader in self.readers {
            all.push(reader.into_pages().await?);
        }
        Some(all)
    }

    /// The next rows, as many as a chunk takes.
    ///
    /// # Errors
    /// What keeps a range from being read on.
    pub(super) async fn next(&mut self, limits: &ChunkLimits) -> Result<Rows> {
        let share = share(limits, self.readers.len());
        for reader in &mut self.readers {
            reader.read_ahead(&share, || Page::new(&self.table, &self.schema, share))?;
        }
        let mut taken = Taken::new(*limits, self.readers.len());
        while let Some(turn) = self.ranges.turn().filter(|_| !taken.is_full()) {
            let reader = self.readers.get_mut(turn).ok_or_else(|| Fault::bug("a lost range"))?;
            let page = || Page::new(&self.table, &self.schema, share);
            match reader.next(&share, page).await? {
                Some(row) => {
                    taken.push(turn, reader, row);
                    self.ranges.give();
                }
                None => self.ranges.end(),
            }
        }
        for (range, last) in taken.last.iter().enumerate() {
            if let Some(row) = last.and_then(|last| taken.rows.get(last)) {
                self.ranges.set_last(range, row.key.clone());
            }
        }
        taken.finish(&self.schema)
    }
}

/// What one of so many ranges reads at a time: as many rows as a chunk has, for a
/// server far away is asked the less often, but of its bytes only a share, so that
/// all pages together hold no more than two chunks.
fn share(limits: &ChunkLimits, many: usize) -> ChunkLimits {
    ChunkLimits { bytes: limits.bytes.div_ceil(many), age: Duration::ZERO, ..*limits }
}

/// Reads a range, a page ahead of what is asked for.
struct Reader<P> {
    /// None while it reads.
    pages: Option<P>,
    reading: JoinSet<(P, Result<Page>)>,
    /// How many rows were asked for.
    asked: usize,
    /// Behind which key the next page begins.
    behind: Option<Key>,
    upto: Option<Key>,
    /// Whether there is no next page.
    is_done: bool,
    /// The page at hand: its number, its items and what is left of its rows.
    number: usize,
    batch: Option<RecordBatch>,
    rows: std::vec::IntoIter<Row>,
    /// The row of the batch that comes next.
    item: usize,
    seen: Seen,
}

impl<P: Pages> Reader<P> {
    fn new(pages: P) -> Self {
        Self {
            pages: Some(pages),
            reading: JoinSet::new(),
            asked: 0,
            behind: None,
            upto: None,
            is_done: false,
            number: 0,
            batch: None,
            rows: Vec::new().into_iter(),
            item: 0,
            seen: Seen::default(),
        }
    }

    /// Begins to read the next page, unless that is under way.
    fn read_ahead(
        &mut self,
        share: &ChunkLimits,
        page: impl FnOnce() -> Result<Page>,
    ) -> Result<()> {
        if self.is_done {
            return Ok(());
        }
        let Some(mut pages) = self.pages.take() else { return Ok(()) };
        self.asked = self.seen.wanted(0, 0, share);
        let behind = Window::behind(self.behind.clone(), self.asked);
        let window = Window { upto: self.upto.clone(), ..behind };
        let page = page()?;
        self.reading.spawn(async move {
            let read = pages.read(&window, page).await;
            (pages, read)
        });
        Ok(())
    }

    /// The next row, if there is one.
    async fn next(
        &mut self,
        share: &ChunkLimits,
        page: impl Fn() -> Result<Page>,
    ) -> Result<Option<Row>> {
        while self.rows.len() == 0 && !self.is_done {
            self.read_ahead(share, &page)?;
            self.turn_page().await?;
            self.read_ahead(share, &page)?;
        }
        Ok(self.rows.next())
    }

    /// Waits for the page that is being read.
    async fn turn_page(&mut self) -> Result<()> {
        let read = self.reading.join_next().await;
        let read = read.ok_or_else(|| Fault::bug("nobody reads this range"))?;
        let (pages, page) = read.map_err(|e| Fault::bug(format!("reading broke off: {e}")))?;
        let page = page?;
        self.pages = Some(pages);
        self.is_done = !page.is_full() && page.rows() < self.asked;
        self.seen.add(page.rows(), page.bytes());
        if let Some(last) = page.last() {
            self.behind = Some(last.clone());
        }
        let rows = page.finish()?;
        self.number += 1;
        (self.batch, self.rows, self.item) = (Some(rows.batch), rows.rows.into_iter(), 0);
        Ok(())
    }

    async fn into_pages(mut self) -> Option<P> {
        if let Some(pages) = self.pages {
            return Some(pages);
        }
        let (pages, read) = self.reading.join_next().await?.ok()?;
        read.is_ok().then_some(pages)
    }
}

/// What a chunk takes from the pages of all ranges.
struct Taken {
    limits: ChunkLimits,
    began: Option<Instant>,
    rows: Vec<Row>,
    bytes: usize,
    /// The batches that its items are of, and where each item is.
    batches: Vec<RecordBatch>,
    items: Vec<(usize, usize)>,
    /// For each range: the number of the page at hand, and which batch it is.
    pages: Vec<(usize, usize)>,
    /// The last row of each range.
    last: Vec<Option<usize>>,
}

impl Taken {
    fn new(limits: ChunkLimits, ranges: usize) -> Self {
        Self {
            limits,
            began: None,
            rows: Vec::new(),
            bytes: 0,
            batches: Vec::new(),
            items: Vec::new(),
            pages: vec![(0, 0); ranges],
            last: vec![None; ranges],
        }
    }

    fn is_full(&self) -> bool {
        is_full(&self.limits, self.rows.len(), self.bytes, self.began)
    }

    fn push<P>(&mut self, range: usize, reader: &mut Reader<P>, row: Row) {
        self.began.get_or_insert_with(Instant::now);
        if row.failed.is_none() {
            if self.pages[range].0 != reader.number {
                self.pages[range] = (reader.number, self.batches.len());
                self.batches.extend(reader.batch.clone());
            }
            self.items.push((self.pages[range].1, reader.item));
            reader.item += 1;
        }
        self.bytes += row.bytes;
        self.last[range] = Some(self.rows.len());
        self.rows.push(row);
    }

    fn finish(self, schema: &SchemaRef) -> Result<Rows> {
        let bug = |e| Fault::bug(format!("rows of several ranges make no batch: {e}"));
        let column = |i: usize| {
            let parts: Vec<_> = self.batches.iter().map(|b| b.column(i).as_ref()).collect();
            interleave(&parts, &self.items).map_err(bug)
        };
        if self.items.is_empty() {
            return Ok(Rows { batch: RecordBatch::new_empty(schema.clone()), rows: self.rows });
        }
        let columns: Vec<ArrayRef> =
            (0..schema.fields().len()).map(column).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.items.len()));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
        Ok(Rows { batch: batch.map_err(bug)?, rows: self.rows })
    }
}
