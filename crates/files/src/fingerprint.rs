//! What a file looks like, so that a changed one is noticed.

use std::io::{self, Read};

use arrow_schema::Schema;
use kiln_core::{Fingerprint, Result};
use twox_hash::XxHash3_128;

use crate::input::InputFile;
use crate::raw::{COLUMNS, listed};

/// Up to this size every byte is looked at.
const WHOLE: u64 = 1 << 30;
/// Of a larger file: this much of its start and of its end, …
const EDGE: u64 = 1 << 20;
/// … and this many blocks between them, evenly spaced, …
const BLOCKS: u64 = 64;
/// … of this size.
const BLOCK: u64 = 64 << 10;

/// What a file looks like: its size, its content, its columns, and the options
/// that positions in it depend on.
pub(crate) fn fingerprint(
    file: &InputFile,
    schema: &Schema,
    layout: String,
) -> Result<Fingerprint> {
    let names = schema.fields().iter().map(|f| f.name().as_str());
    Ok(Fingerprint::default()
        .with("size", file.size)
        .with("content", content(file)?)
        .with(COLUMNS, listed(names))
        .with("layout", layout))
}

/// What tells the content: its hash, or, where it would have to be fetched for
/// that, the tag that its store gives it.
fn content(file: &InputFile) -> Result<String> {
    match &file.remote {
        Some(remote) => Ok(remote.tag()),
        None => content_hash(file),
    }
}

/// XXH3-128 of the file as it is stored, as hexadecimal digits. A change in
/// the middle of a file above 1 GiB that leaves its size as it was may be
/// missed.
fn content_hash(file: &InputFile) -> Result<String> {
    let mut hasher = XxHash3_128::new();
    for (offset, len) in stretches(file.size) {
        hash(file, offset, len, &mut hasher)?;
    }
    Ok(format!("{:032x}", hasher.finish_128()))
}

/// What is looked at in a file of that size: offset and length.
fn stretches(size: u64) -> Vec<(u64, u64)> {
    if size <= WHOLE {
        return vec![(0, size)];
    }
    let step = (size - 2 * EDGE - BLOCK) / (BLOCKS - 1);
    let blocks = (0..BLOCKS).map(|i| (EDGE + i * step, BLOCK));
    [(0, EDGE)].into_iter().chain(blocks).chain([(size - EDGE, EDGE)]).collect()
}

fn hash(file: &InputFile, offset: u64, len: u64, hasher: &mut XxHash3_128) -> Result<()> {
    let mut bytes = file.stored_from(offset)?.take(len);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => hasher.write(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(file.reading(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    #[test]
    fn a_large_file_is_sampled_in_order_and_inside_its_bounds() {
        assert_eq!(stretches(WHOLE), [(0, WHOLE)]);
        for size in [WHOLE + 1, 5 * WHOLE + 12_345] {
            let stretches = stretches(size);
            assert_eq!(stretches.len(), 66);
            assert!(stretches.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0));
            let (offset, len) = stretches[65];
            assert_eq!(offset + len, size);
        }
    }

    #[test]
    fn a_large_file_that_changes_at_an_edge_has_another_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut hashes = Vec::new();
        for (size, at) in [(WHOLE + 9, None), (WHOLE + 9, Some(0)), (WHOLE + 9, Some(WHOLE + 8))] {
            file.set_len(0).unwrap();
            file.set_len(size).unwrap();
            if let Some(at) = at {
                file.seek(SeekFrom::Start(at)).unwrap();
                file.write_all(b"x").unwrap();
            }
            hashes.push(content_hash(&InputFile::open_stored(&path).unwrap()).unwrap());
        }
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 3);
    }
}
