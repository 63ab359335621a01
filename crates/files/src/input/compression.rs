//! How files are packed.

use std::fmt;
use std::io::{self, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use kiln_core::{Fault, Result};
use lzma_rust2::XzReader;

use super::Stored;

/// The most memory that a file may ask for to be unpacked; `xz -9` needs 65
/// MiB, `zstd --ultra -22` 128 MiB.
const MOST_MEMORY_KIB: u32 = 256 << 10;

/// How a file is packed. Files that are several packed ones, one behind the
/// other, are read to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Compression {
    /// All words and endings: `gzip` and `gz`, …
    const WORDS: [(&'static str, &'static str, Self); 5] = [
        ("none", "", Self::None),
        ("gzip", "gz", Self::Gzip),
        ("zstd", "zst", Self::Zstd),
        ("bzip2", "bz2", Self::Bzip2),
        ("xz", "xz", Self::Xz),
    ];

    /// How much of a file is looked at to tell how it is packed.
    pub(super) const HEAD: u64 = 10;

    /// Reads `none`, `gzip`, `zstd`, `bzip2`, `xz`, or the ending of such a
    /// file's name.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for any other word.
    pub fn parse(word: &str) -> Result<Self> {
        let is_it = |(name, ending, _): &&(&str, &str, _)| *name == word || *ending == word;
        match Self::WORDS.iter().find(is_it) {
            Some((.., known)) if !word.is_empty() => Ok(*known),
            _ => Err(Fault::config(format!("{word:?} is no compression"))
                .with_hint("it is one of none, gzip, zstd, bzip2, xz")),
        }
    }

    /// The name of a file without the ending that says how it is packed.
    pub fn without_ending(name: &str) -> &str {
        let packed = Self::WORDS.iter().filter(|(_, ending, _)| !ending.is_empty());
        let strip = |ending: &str| {
            let (front, last) = name.rsplit_once('.')?;
            last.eq_ignore_ascii_case(ending).then_some(front)
        };
        packed.into_iter().find_map(|(_, ending, _)| strip(ending)).unwrap_or(name)
    }

    /// Told from the first bytes, which are right more often than the name.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // Behind the level stands the first block, or the end of none.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// The command that tells whether such a file is whole.
    pub(super) fn test(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip -t"),
            Self::Zstd => Some("zstd -t"),
            Self::Bzip2 => Some("bzip2 -t"),
            Self::Xz => Some("xz -t"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|w| w.2 == *self);
        f.write_str(word.map_or("none", |w| w.0))
    }
}

/// The bytes of a file, unpacked.
pub(crate) enum Unpacked {
    Plain(Stored),
    Gzip(Box<MultiGzDecoder<BufReader<Stored>>>),
    Zstd(zstd::Decoder<'static, BufReader<Stored>>),
    Bzip2(Box<MultiBzDecoder<BufReader<Stored>>>),
    Xz(Box<XzReader<BufReader<Stored>>>),
}

impl Unpacked {
    pub(super) fn new(compression: Compression, stored: Stored) -> io::Result<Self> {
        if compression == Compression::None {
            return Ok(Self::Plain(stored));
        }
        let stored = BufReader::with_capacity(64 << 10, stored);
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(stored))),
            Compression::Bzip2 => Self::Bzip2(Box::new(MultiBzDecoder::new(stored))),
            Compression::Xz => {
                Self::Xz(Box::new(XzReader::new_mem_limit(stored, true, MOST_MEMORY_KIB)))
            }
            Compression::Zstd | Compression::None => {
                Self::Zstd(zstd::Decoder::with_buffer(stored)?)
            }
        })
    }

    /// Bytes of the file that were read so far.
    pub(super) fn stored_bytes(&self) -> u64 {
        match self {
            Self::Plain(stored) => stored.at,
            Self::Gzip(decoder) => decoder.get_ref().get_ref().at,
            Self::Zstd(decoder) => decoder.get_ref().get_ref().at,
            Self::Bzip2(decoder) => decoder.get_ref().get_ref().at,
            Self::Xz(decoder) => decoder.inner().get_ref().at,
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stored) => stored.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_endings() {
        assert_eq!(Compression::parse("gzip").unwrap(), Compression::Gzip);
        assert_eq!(Compression::parse("bz2").unwrap(), Compression::Bzip2);
        assert!(Compression::parse("").is_err());
        let fault = Compression::parse("zip").unwrap_err();
        assert_eq!(fault.message(), "\"zip\" is no compression");
        let without = ["a.csv.GZ", "a.xz", "a.csv", "gz"].map(Compression::without_ending);
        assert_eq!(without, ["a.csv", "a", "a.csv", "gz"]);
    }

    #[test]
    fn a_text_is_not_taken_for_a_packed_file() {
        for head in [&b"BZh9 is a column"[..10], b"\x28\xb5", b"", b"7zXZ"] {
            assert_eq!(Compression::of(head), Compression::None);
        }
    }
}
