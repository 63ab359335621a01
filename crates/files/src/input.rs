//! A file as a stream of bytes: opened, unpacked where it is packed, made UTF-8
//! where it is not, and counted.

mod compression;
mod encoding;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_core::{Fault, Kind, Result};

pub use self::compression::Compression;
use self::compression::Unpacked;
use self::encoding::Decoded;
pub use self::encoding::Encoding;
use crate::store::{RemoteFile, is_remote};
use crate::text_source::Place;

/// A file that can be read from the start, as often as needed.
#[derive(Debug)]
pub(crate) struct InputFile {
    /// Its path, or its URL.
    pub(crate) path: PathBuf,
    /// Where it is none of this machine.
    pub(crate) remote: Option<Arc<RemoteFile>>,
    /// Bytes in the file, as it was when it was opened.
    pub(crate) size: u64,
    compression: Compression,
    encoding: Encoding,
    /// The length of a byte order mark that is left in the content.
    mark: u64,
}

impl InputFile {
    /// Looks at a file of text, packed and encoded as told, or as its first
    /// bytes tell; a byte order mark is always right.
    ///
    /// # Errors
    /// [`Kind::InputMissing`] if there is none, or if it is a directory;
    /// [`Kind::NotPermitted`]; [`Kind::InputInvalid`] if it can't be read twice,
    /// or is damaged; [`Kind::Config`] if its mark is that of another encoding
    /// than the declared one.
    pub(crate) fn open(
        path: &Path,
        compression: Option<Compression>,
        encoding: Option<Encoding>,
    ) -> Result<Self> {
        let mut file = Self::open_stored(path)?;
        file.compression = match compression {
            Some(told) => told,
            None => Compression::of(&file.head(file.stored_from(0)?, Compression::HEAD)?),
        };
        let unpacked = file.unpacked()?;
        let head = file.head(unpacked, 3)?;
        match (Encoding::of_mark(&head), encoding) {
            (Some((marked, _)), Some(declared)) if !marked.agrees(declared) => {
                return Err(Fault::config(format!(
                    "{} is declared {declared}, and its byte order mark says {marked}",
                    path.display()
                ))
                .with_hint("leave the encoding out"));
            }
            (Some((marked, len)), _) if marked == Encoding::UTF_8 => file.mark = len as u64,
            (Some((marked, _)), _) => file.encoding = marked,
            (None, declared) => file.encoding = declared.unwrap_or(Encoding::UTF_8),
        }
        Ok(file)
    }

    /// Looks at a file that is read as it is stored.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_stored(path: &Path) -> Result<Self> {
        if is_remote(path) {
            let remote = RemoteFile::open(path)?;
            return Ok(Self::new(path, remote.size(), Some(Arc::new(remote))));
        }
        let metadata = std::fs::metadata(path).map_err(|e| opening(path, e))?;
        let shown = path.display();
        if metadata.is_dir() {
            return Err(Fault::new(
                Kind::InputMissing,
                format!("{shown} is a directory, not a file"),
            )
            .with_hint("name one file in it, or all of a kind: \"folder/*.csv\""));
        }
        if !metadata.is_file() {
            return Err(Fault::new(Kind::InputInvalid, format!("{shown} is not a regular file"))
                .with_hint("a job that resumes reads its input again; save it as a file first"));
        }
        Ok(Self::new(path, metadata.len(), None))
    }

    fn new(path: &Path, size: u64, remote: Option<Arc<RemoteFile>>) -> Self {
        let (compression, encoding) = (Compression::None, Encoding::UTF_8);
        Self { path: path.to_owned(), remote, size, compression, encoding, mark: 0 }
    }

    /// Its name without folders.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Whether its content is what is stored.
    pub(crate) fn is_plain(&self) -> bool {
        self.compression == Compression::None && self.encoding == Encoding::UTF_8
    }

    /// Where its content begins.
    pub(crate) fn start(&self) -> Place {
        Place { byte: self.mark, line: 1 }
    }

    fn head(&self, input: impl Read, len: u64) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        input.take(len).read_to_end(&mut head).map_err(|e| self.reading(e))?;
        Ok(head)
    }

    fn unpacked(&self) -> Result<Unpacked> {
        Unpacked::new(self.compression, self.stored_from(0)?).map_err(|e| self.reading(e))
    }

    /// The bytes of the file as they are, from `offset`, up to the size it had
    /// when it was opened.
    pub(crate) fn stored_from(&self, offset: u64) -> Result<Stored> {
        if let Some(remote) = &self.remote {
            let from = From::Remote(Arc::clone(remote));
            return Ok(Stored { from, at: offset, size: self.size });
        }
        let mut file = File::open(&self.path).map_err(|e| opening(&self.path, e))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(|e| Fault::io(self.path.display(), e))?;
        }
        Ok(Stored { from: From::Disk(file), at: offset, size: self.size })
    }

    /// The bytes of its content, from `offset`. In a plain file the offset is
    /// sought; in any other everything before it is read again.
    ///
    /// # Errors
    /// [`Kind::Config`] if the content ends before `offset`.
    pub(crate) fn content_from(&self, offset: u64) -> Result<Input> {
        let behind_end = || {
            Fault::config(format!("{}: there is no byte {offset} in it", self.path.display()))
                .with_hint("the position belongs to another file")
        };
        if self.is_plain() {
            if offset > self.size {
                return Err(behind_end());
            }
            return Ok(Input::Plain(Unpacked::Plain(self.stored_from(offset)?)));
        }
        let mut input = match self.encoding.decode(self.unpacked()?) {
            Ok(decoded) => Input::Decoded(Box::new(decoded)),
            Err(plain) => Input::Plain(plain),
        };
        let skipped = io::copy(&mut (&mut input).take(offset), &mut io::sink());
        if skipped.map_err(|e| self.reading(e))? < offset {
            return Err(behind_end());
        }
        Ok(input)
    }

    /// An error while reading: of the operating system, or of what is read.
    pub(crate) fn reading(&self, error: io::Error) -> Fault {
        if let Some(fault) = self.remote.as_ref().and_then(|remote| remote.take_fault()) {
            return fault;
        }
        let shown = self.path.display();
        if error.raw_os_error().is_some() {
            return Fault::io(shown, error);
        }
        let (what, hint) = match self.compression.test() {
            None => ("can't be read".into(), "let nobody change a file while it is read".into()),
            Some(test) => (
                format!("is damaged {}", self.compression),
                format!("`{test}` tests the file; copy it again"),
            ),
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
    from: From,
    at: u64,
    size: u64,
}

#[derive(Debug)]
enum From {
    Disk(File),
    Remote(Arc<RemoteFile>),
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let n = match &mut self.from {
            From::Disk(file) => file.read(&mut buffer[..wanted])?,
            From::Remote(remote) => remote.read(self.at, &mut buffer[..wanted])?,
        };
        if n == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter"));
        }
        self.at += n as u64;
        Ok(n)
    }
}

/// The bytes of a file's content, as UTF-8.
pub(crate) enum Input {
    Plain(Unpacked),
    Decoded(Box<Decoded<Unpacked>>),
}

impl Input {
    /// Bytes of the file that were read so far.
    pub(crate) fn stored_bytes(&self) -> u64 {
        match self {
            Self::Plain(unpacked) => unpacked.stored_bytes(),
            Self::Decoded(decoded) => decoded.input().stored_bytes(),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(unpacked) => unpacked.read(buffer),
            Self::Decoded(decoded) => decoded.read(buffer),
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
        let input = InputFile::open(file.path(), None, None).unwrap();
        file.as_file().set_len(4).unwrap();
        let mut all = Vec::new();
        let error = input.content_from(0).unwrap().read_to_end(&mut all).unwrap_err();
        assert_eq!(input.reading(error).kind(), Kind::InputInvalid);
    }
}
