//! How many rows to ask for.

use kiln_core::ChunkLimits;

/// How many rows are asked for while nobody knows how large they are.
const FIRST_PAGE: usize = 100;

/// How many rows are asked for at once where a chunk has no limit of its own.
const LARGEST_PAGE: usize = 10_000;

/// Rows read so far, and their bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    rows: usize,
    bytes: usize,
}

impl Seen {
    /// Adds rows of so many bytes.
    pub(super) fn add(&mut self, rows: usize, bytes: usize) {
        self.rows += rows;
        self.bytes += bytes;
    }

    /// How many rows to ask for, so that little is sent that a page with so many
    /// rows and bytes has no room for.
    pub(super) fn wanted(self, rows: usize, bytes: usize, limits: &ChunkLimits) -> usize {
        let items = match limits.items {
            0 => LARGEST_PAGE,
            items => items.saturating_sub(rows),
        };
        let (all_rows, all_bytes) = (self.rows + rows, self.bytes + bytes);
        let room = match (limits.bytes, all_rows) {
            (0, _) => LARGEST_PAGE,
            (_, 0) => FIRST_PAGE,
            (most, _) => most.saturating_sub(bytes) / (all_bytes / all_rows).max(1) + 1,
        };
        items.min(room).clamp(1, LARGEST_PAGE)
    }
}
