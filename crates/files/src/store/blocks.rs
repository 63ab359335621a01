//! Blocks of a file that were fetched.

use bytes::Bytes;

/// How much is fetched at a time.
pub(super) const BLOCK: u64 = 1 << 20;

/// How many blocks are fetched in one go where the one before is known: then
/// somebody reads on.
pub(super) const RUN: u64 = 4;

/// How many blocks are kept: those of as many columns, as Parquet reads them.
const KEPT: usize = 64;

/// The blocks that were used last.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<(u64, Bytes)>);

impl Blocks {
    /// A block, counted from 0.
    pub(super) fn get(&mut self, number: u64) -> Option<Bytes> {
        let at = self.0.iter().position(|(kept, _)| *kept == number)?;
        let block = self.0.remove(at);
        let bytes = block.1.clone();
        self.0.push(block);
        Some(bytes)
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.0.iter().any(|(kept, _)| *kept == number)
    }

    /// Keeps what was fetched from the start of a block on.
    pub(super) fn put(&mut self, first: u64, mut bytes: Bytes) {
        let mut number = first;
        while !bytes.is_empty() {
            let len = bytes.len().min(BLOCK as usize);
            self.0.retain(|(kept, _)| *kept != number);
            self.0.push((number, bytes.split_to(len)));
            number += 1;
        }
        let too_many = self.0.len().saturating_sub(KEPT);
        self.0.drain(..too_many);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_used_last_are_kept() {
        let mut blocks = Blocks::default();
        let len = BLOCK as usize;
        blocks.put(3, Bytes::from(vec![7; 2 * len + 5]));
        assert_eq!(blocks.get(5).map(|b| b.len()), Some(5));
        assert!(blocks.has(4) && !blocks.has(6));
        for number in 100..100 + KEPT as u64 - 1 {
            assert!(blocks.get(3).is_some());
            blocks.put(number, Bytes::from_static(b"x"));
        }
        assert!(blocks.has(3) && !blocks.has(4));
        assert_eq!(blocks.0.len(), KEPT);
    }
}
