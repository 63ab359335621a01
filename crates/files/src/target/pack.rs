//! How what is written is packed.

use std::fmt;
use std::io::{self, Write as _};

use flate2::write::GzEncoder;
use kiln_core::{Fault, Result};

/// How the files of a target are packed: text as a whole, Parquet page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// They are not.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Snappy; in Parquet alone.
    Snappy,
    /// LZ4; in Parquet alone.
    Lz4,
}

impl Packing {
    const WORDS: [(&'static str, Self); 5] = [
        ("none", Self::None),
        ("gzip", Self::Gzip),
        ("zstd", Self::Zstd),
        ("snappy", Self::Snappy),
        ("lz4", Self::Lz4),
    ];

    /// Reads `none`, `gzip`, `zstd`, `snappy` or `lz4`.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for any other word.
    pub fn parse(word: &str) -> Result<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, packing)| *packing).ok_or_else(
            || {
                Fault::config(format!("{word:?} is no compression of a target"))
                    .with_hint("it is one of none, gzip and zstd; in Parquet also snappy and lz4")
            },
        )
    }

    /// The ending that the name of a packed text has.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::None | Self::Snappy | Self::Lz4 => "",
        }
    }

    /// Packs a text whole.
    pub(super) fn pack(self, text: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(&text)?;
                packer.finish()
            }
            Self::Zstd => zstd::encode_all(&text[..], zstd::DEFAULT_COMPRESSION_LEVEL),
            Self::None | Self::Snappy | Self::Lz4 => Ok(text),
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, packing)| packing == self);
        f.write_str(word.map_or("none", |(name, _)| name))
    }
}
