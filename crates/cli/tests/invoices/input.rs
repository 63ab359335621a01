//! The invoice lines: all of them, or the first few thousand.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

/// The whole file, compressed; `None` where the shared data is missing.
pub(crate) fn whole() -> Option<PathBuf> {
    kiln_testkit::shared_data("online-retail/online-retail.csv.zst")
}

/// How many items [`part`] has.
pub(crate) const PART: u64 = 20_000;

/// The first items of the file, plain.
pub(crate) fn part() -> Option<&'static Path> {
    static PARTS: LazyLock<Option<(TempDir, PathBuf)>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.csv");
        cut(&whole()?, &path, PART);
        Some((folder, path))
    });
    PARTS.as_ref().map(|(_, path)| path.as_path())
}

/// Writes the header and the first `items` lines; no record of this file has a
/// line end in it.
pub(crate) fn cut(whole: &Path, to: &Path, items: u64) {
    let file = std::fs::File::open(whole).unwrap();
    let lines = BufReader::new(zstd::Decoder::new(file).unwrap()).split(b'\n');
    let mut part = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    for line in lines.take(items as usize + 1) {
        part.write_all(&line.unwrap()).unwrap();
        part.write_all(b"\n").unwrap();
    }
    part.flush().unwrap();
}
