//! Where a table is cut into ranges.
//!
//! The bounds are keys, in no need of rows of their own: any will do, the better
//! they are the more alike the ranges. A key of one whole number is cut by its
//! size, which takes a few look-ups in the index: into stretches of equal width,
//! and then, as gaps leave fewer of them than were asked for, the widest in the
//! middle. Any other key has no middle that could be computed: every so many
//! keys one is noted, and as often as there are too many of them every second
//! one is forgotten. That is one walk along the index.

use std::sync::Arc;

use arrow_schema::Schema;
use kiln_core::{ChunkLimits, Result};

use super::page::Page;
use super::place::{Key, KeyValue};
use super::source::Pages;
use super::window::Window;

/// How many keys are noted for each range, at most.
const NOTED: usize = 8;

/// Looks keys up in a table.
pub(super) struct Cutter<'a, P> {
    /// Reads keys alone.
    pages: P,
    table: &'a str,
    /// Whether the key is one column of numbers, where they come as text.
    is_number: bool,
}

impl<'a, P: Pages> Cutter<'a, P> {
    pub(super) fn new(pages: P, table: &'a str, is_number: bool) -> Self {
        Self { pages, table, is_number }
    }

    /// The bounds of at most so many ranges of what stands behind a key: the last
    /// key that may be in each but the last.
    ///
    /// # Errors
    /// What keeps the table from being read.
    pub(super) async fn bounds(mut self, behind: Option<Key>, many: usize) -> Result<Vec<Key>> {
        let first = self.key(Window::behind(behind.clone(), 1)).await?;
        let last = Window { is_backwards: true, ..Window::behind(behind.clone(), 1) };
        let (Some(first), Some(last)) = (first, self.key(last).await?) else {
            return Ok(Vec::new());
        };
        if let ([first], [last]) = (first.as_slice(), last.as_slice())
            && let Some(from) = first.whole(self.is_number)
            && let Some(to) = last.whole(self.is_number)
        {
            return self.by_size((from, to), first, many).await;
        }
        self.by_walking(behind, many).await
    }

    /// The key of the first row in a window.
    async fn key(&mut self, window: Window) -> Result<Option<Key>> {
        let none = ChunkLimits { items: 0, bytes: 0, age: std::time::Duration::ZERO };
        let page = Page::new(self.table, &Arc::new(Schema::empty()), none)?;
        Ok(self.pages.read(&window, page).await?.last().cloned())
    }

    /// Cuts numbers; `like` is one as the database has it.
    async fn by_size(
        &mut self,
        (from, to): (i128, i128),
        like: &KeyValue,
        many: usize,
    ) -> Result<Vec<Key>> {
        let mut pieces = vec![(from, to)];
        for i in 1..many {
            let at = from + (to - from) * i as i128 / many as i128;
            self.split(&mut pieces, at, like).await?;
        }
        while pieces.len() < many {
            let before = pieces.len();
            if let Some((from, to)) = pieces.iter().max_by_key(|(from, to)| to - from).copied() {
                self.split(&mut pieces, from + (to - from) / 2, like).await?;
            }
            if pieces.len() == before {
                break;
            }
        }
        pieces.pop();
        Ok(pieces.into_iter().map(|(_, to)| vec![like.with_whole(to)]).collect())
    }

    /// Splits the piece that a number lies in, behind the last row up to it.
    async fn split(
        &mut self,
        pieces: &mut Vec<(i128, i128)>,
        at: i128,
        like: &KeyValue,
    ) -> Result<()> {
        let Some(i) = pieces.iter().position(|(from, to)| *from <= at && at < *to) else {
            return Ok(());
        };
        let upto = Some(vec![like.with_whole(at)]);
        let last = Window { upto: upto.clone(), most: 1, is_backwards: true, ..Window::default() };
        let (last, next) = (self.number(last).await?, self.number(Window::behind(upto, 1)).await?);
        let (from, to) = pieces[i];
        if let (Some(last), Some(next)) = (last, next)
            && from <= last
            && next <= to
        {
            pieces.splice(i..=i, [(from, last), (next, to)]);
        }
        Ok(())
    }

    async fn number(&mut self, window: Window) -> Result<Option<i128>> {
        let key = self.key(window).await?;
        Ok(key.and_then(|key| key.first()?.whole(self.is_number)))
    }

    async fn by_walking(&mut self, behind: Option<Key>, many: usize) -> Result<Vec<Key>> {
        let (mut noted, mut step, mut at) = (Vec::new(), 1, behind);
        while let Some(key) = self.key(Window { skip: step - 1, ..Window::behind(at, 1) }).await? {
            noted.push(key.clone());
            at = Some(key);
            if noted.len() == NOTED * many {
                noted = noted.into_iter().skip(1).step_by(2).collect();
                step *= 2;
            }
        }
        let bound = |i: usize| noted.get((i * (noted.len() + 1) / many).checked_sub(1)?).cloned();
        let mut bounds: Vec<Key> = (1..many).filter_map(bound).collect();
        bounds.dedup();
        Ok(bounds)
    }
}
