//! The bytes of a Parquet file, wherever it lies.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use kiln_core::{Fault, Result};
use parquet::errors::Result as Outcome;
use parquet::file::reader::{ChunkReader, Length};

use crate::input::InputFile;
use crate::store::RemoteFile;

/// A file of this machine, or one in a store.
pub(super) enum FileBytes {
    Disk(File),
    Remote(Arc<RemoteFile>),
}

pub(super) fn open(file: &InputFile) -> Result<FileBytes> {
    match &file.remote {
        Some(remote) => Ok(FileBytes::Remote(Arc::clone(remote))),
        None => File::open(&file.path)
            .map(FileBytes::Disk)
            .map_err(|e| Fault::io(file.path.display(), e)),
    }
}

/// What follows an offset.
pub(super) enum Behind {
    Disk(BufReader<File>),
    Remote { file: Arc<RemoteFile>, at: u64 },
}

impl Read for Behind {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Disk(file) => file.read(buffer),
            Self::Remote { file, at } => {
                let n = file.read(*at, buffer)?;
                *at += n as u64;
                Ok(n)
            }
        }
    }
}

impl Length for FileBytes {
    fn len(&self) -> u64 {
        match self {
            Self::Disk(file) => file.len(),
            Self::Remote(file) => file.size(),
        }
    }
}

impl ChunkReader for FileBytes {
    type T = Behind;

    fn get_read(&self, start: u64) -> Outcome<Behind> {
        match self {
            Self::Disk(file) => file.get_read(start).map(Behind::Disk),
            Self::Remote(file) => Ok(Behind::Remote { file: Arc::clone(file), at: start }),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Outcome<Bytes> {
        match self {
            Self::Disk(file) => file.get_bytes(start, length),
            Self::Remote(file) => {
                let mut bytes = vec![0; length];
                Behind::Remote { file: Arc::clone(file), at: start }.read_exact(&mut bytes)?;
                Ok(bytes.into())
            }
        }
    }
}
