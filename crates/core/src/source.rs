//! Where items come from.

use arrow_schema::SchemaRef;
use async_trait::async_trait;

use crate::{Chunk, ChunkLimits, Fingerprint, Position, Result};

/// How far a source has been read, in bytes (or in rows, where it has none).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Behind us.
    pub done: u64,
    /// In all, where it is known beforehand.
    pub total: Option<u64>,
}

/// The part of a fingerprint that names the place behind which a source starts
/// that reads only what is new.
pub const SINCE: &str = "since";

/// A large set of items in a stable order.
///
/// Obligations:
/// * Items have ordinals 1, 2, 3, … from the start of the source; a record that
///   can't be read has one too. The same input gives the same ordinals, however
///   it is cut into chunks and wherever reading began.
/// * Chunks follow each other: the start of one is the end of the one before.
///   No chunk is empty.
/// * Memory is bounded by the chunk limits, whatever the input holds.
/// * One bad record is a [`Failure`](crate::Failure) of the chunk; an error
///   means that the source as a whole can't be read on.
#[async_trait]
pub trait Source: Send {
    /// The name a person knows it by: a file's name, a table's name.
    fn name(&self) -> &str;

    /// The columns of its items.
    fn schema(&self) -> SchemaRef;

    /// What it looks like now. Equal fingerprints mean that a position taken
    /// then is good today.
    fn fingerprint(&self) -> Fingerprint;

    /// Tells a source that reads only what is new where the last complete run of
    /// the job ended: the `place` of a [`Position`], or nothing if there was
    /// none. That is its start from now on, and part of its fingerprint under
    /// the name [`SINCE`]. Called, if at all, before anything is read. False,
    /// and nothing changes, for a source that is read whole each time.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::Kind::Config) if it is no place of this source.
    fn start_behind(&mut self, _place: &str) -> Result<bool> {
        Ok(false)
    }

    /// Where it starts. A source whose order hangs on something that it decides
    /// when it is first read gives a position before the first item whose `place`
    /// keeps that; it is committed before any item is, so that a run that goes on
    /// has the same order. Called, if at all, before anything is read.
    ///
    /// # Errors
    /// What keeps the source from being read.
    async fn start(&mut self) -> Result<Position> {
        Ok(Position::default())
    }

    /// Goes to a position that a chunk of this source ended at, or to the
    /// start: the one of [`start`](Source::start), or an empty one.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::Kind::Config) if it is no position of this
    /// source.
    async fn seek(&mut self, position: &Position) -> Result<()>;

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    /// What keeps the source from being read on. After an error the source must
    /// [`seek`](Source::seek) before it is read again.
    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>>;

    /// How far it has been read.
    fn progress(&self) -> Progress;

    /// All its items are committed: what it keeps only to be read again may go.
    /// Nobody reads it any more; a run that broke off may never come here.
    fn done(&mut self) {}
}
