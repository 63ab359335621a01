//! A file as a stream of bytes: opened, inflated where it is compressed, and
//! counted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use kiln_core::{Fault, Kind, Result};

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Told from the first bytes, which are right more often than the name.
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// A file that can be read from the start, as often as needed.
#[derive(Debug)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    /// Bytes in the file, as it was when it was opened.
    pub(crate) size: u64,
    pub(crate) compression: Compression,
}

impl InputFile {
    /// Looks at a file.
    ///
    /// # Errors
    /// [`Kind::InputMissing`] if there is none, or if it is a directory;
    /// [`Kind::NotPermitted`]; [`Kind::InputInvalid`] if it can't be read twice.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|e| opening(path, e))?;
        let shown = path.display();
        if metadata.is_dir() {
            return Err(Fault::new(
                Kind::InputMissing,
                format!("{shown} is a directory, not a file"),
            )
            .with_hint("name one file in it"));
        }
        if !metadata.is_file() {
            return Err(Fault::new(Kind::InputInvalid, format!("{shown} is not a regular file"))
                .with_hint("a job that resumes reads its input again; save it as a file first"));
        }
        let mut head = Vec::new();
        let file = File::open(path).map_err(|e| opening(path, e))?;
        file.take(4).read_to_end(&mut head).map_err(|e| Fault::io(shown, e))?;
        let compression = Compression::of(&head);
        Ok(Self { path: path.to_owned(), size: metadata.len(), compression })
    }

    /// The bytes of the file as they are, from `offset`, up to the size it had
    /// when it was opened.
    pub(crate) fn stored_from(&self, offset: u64) -> Result<Stored> {
        let mut file = File::open(&self.path).map_err(|e| opening(&self.path, e))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(|e| Fault::io(self.path.display(), e))?;
        }
        Ok(Stored { file, at: offset, size: self.size })
    }

    /// The bytes of its content, from `offset`. In a plain file the offset is
    /// sought; in a compressed one everything before it is inflated again.
    ///
    /// # Errors
    /// [`Kind::Config`] if the content ends before `offset`.
    pub(crate) fn content_from(&self, offset: u64) -> Result<Input> {
        let behind_end = || {
            Fault::config(format!("{}: there is no byte {offset} in it", self.path.display()))
                .with_hint("the position belongs to another file")
        };
        if self.compression == Compression::None {
            if offset > self.size {
                return Err(behind_end());
            }
            return Ok(Input(Content::Plain(self.stored_from(offset)?)));
        }
        let stored = BufReader::with_capacity(64 << 10, self.stored_from(0)?);
        let mut input = Input(match self.compression {
            Compression::Gzip => Content::Gzip(Box::new(MultiGzDecoder::new(stored))),
            _ => Content::Zstd(zstd::Decoder::with_buffer(stored).map_err(|e| self.reading(e))?),
        });
        let skipped = io::copy(&mut (&mut input).take(offset), &mut io::sink());
        if skipped.map_err(|e| self.reading(e))? < offset {
            return Err(behind_end());
        }
        Ok(input)
    }

    /// An error while reading: of the operating system, or of what is read.
    pub(crate) fn reading(&self, error: io::Error) -> Fault {
        let shown = self.path.display();
        if error.raw_os_error().is_some() {
            return Fault::io(shown, error);
        }
        let (what, hint) = match self.compression {
            Compression::None => ("can't be read", "let nobody change a file while it is read"),
            Compression::Gzip => ("is damaged gzip", "`gzip -t` tests the file; copy it again"),
            Compression::Zstd => ("is damaged zstd", "`zstd -t` tests the file; copy it again"),
        };
        Fault::new(Kind::InputInvalid, format!("{shown} {what}: {error}"))
            .with_hint(hint)
            .caused_by(error)
    }
}

fn opening(path: &Path, error: io::Error) -> Fault {
    let hint = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "check the path of the file",
        io::ErrorKind::PermissionDenied => "give this user permission to read the file",
        _ => return Fault::io(path.display(), error),
    };
    let fault = if error.kind() == io::ErrorKind::NotADirectory {
        Fault::new(Kind::InputMissing, format!("{}: {error}", path.display()))
    } else {
        Fault::io(path.display(), error)
    };
    fault.with_hint(hint)
}

/// The bytes of a file, no more than it had when it was opened.
#[derive(Debug)]
pub(crate) struct Stored {
    file: File,
    at: u64,
    size: u64,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let n = self.file.read(&mut buffer[..wanted])?;
        if n == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter"));
        }
        self.at += n as u64;
        Ok(n)
    }
}

/// The bytes of a file's content.
pub(crate) struct Input(Content);

enum Content {
    Plain(Stored),
    Gzip(Box<MultiGzDecoder<BufReader<Stored>>>),
    Zstd(zstd::Decoder<'static, BufReader<Stored>>),
}

impl Input {
    /// Bytes of the file that were read so far.
    pub(crate) fn stored_bytes(&self) -> u64 {
        match &self.0 {
            Content::Plain(stored) => stored.at,
            Content::Gzip(decoder) => decoder.get_ref().get_ref().at,
            Content::Zstd(decoder) => decoder.get_ref().get_ref().at,
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Content::Plain(stored) => stored.read(buffer),
            Content::Gzip(decoder) => decoder.read(buffer),
            Content::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_read_is_told_so() {
        let fault = opening(Path::new("a.csv"), io::ErrorKind::PermissionDenied.into());
        assert_eq!(fault.kind(), Kind::NotPermitted);
        assert!(fault.hint().unwrap().contains("permission"));
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a,b\n1,2\n").unwrap();
        let input = InputFile::open(file.path()).unwrap();
        file.as_file().set_len(4).unwrap();
        let mut all = Vec::new();
        let error = input.content_from(0).unwrap().read_to_end(&mut all).unwrap_err();
        assert_eq!(input.reading(error).kind(), Kind::InputInvalid);
    }
}
