//! A file in a store.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kiln_core::{Fault, Result};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _};

use super::blocks::{BLOCK, Blocks, RUN};
use super::fault;
use super::place::Place;
use super::worker::Worker;

/// A file in a store, which is read in blocks. Each request asks for the file as
/// it was when it was opened.
pub(crate) struct RemoteFile {
    place: Place,
    meta: ObjectMeta,
    worker: Worker,
    blocks: Mutex<Blocks>,
    /// Why reading failed last: what unpacks and decodes only hands on that it
    /// did.
    failed: Mutex<Option<Fault>>,
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFile").field("url", &self.place.url()).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RemoteFile {
    /// Looks at a file.
    ///
    /// # Errors
    /// [`Kind::InputMissing`](kiln_core::Kind::InputMissing),
    /// [`Kind::NotPermitted`](kiln_core::Kind::NotPermitted),
    /// [`Kind::Unreachable`](kiln_core::Kind::Unreachable), and
    /// [`Kind::Config`](kiln_core::Kind::Config) for what is no URL of a file.
    pub(crate) fn open(url: &Path) -> Result<Self> {
        let place = Place::parse(&url.to_string_lossy())?;
        let worker = Worker::start()?;
        let (shown, at) = (place.url(), place.clone());
        let look = async move { at.store.head(&at.path).await.map_err(|e| fault(&shown, e)) };
        let meta = worker.run(look)?;
        Ok(Self { place, meta, worker, blocks: Mutex::default(), failed: Mutex::default() })
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.meta.size
    }

    /// What tells it from the same file with another content.
    pub(crate) fn tag(&self) -> String {
        match &self.meta.e_tag {
            Some(tag) => format!("etag {tag}"),
            None => format!("of {}", self.meta.last_modified),
        }
    }

    /// Reads some bytes at an offset; none behind the end.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.meta.size || buffer.is_empty() {
            return Ok(0);
        }
        let block = self.block(offset / BLOCK).map_err(|fault| {
            *locked(&self.failed) = Some(fault.clone());
            io::Error::other(fault)
        })?;
        let from = (offset % BLOCK) as usize;
        let bytes = block.get(from..).unwrap_or_default();
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    /// Why reading failed, if it did since this was asked last.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        locked(&self.failed).take()
    }

    fn block(&self, number: u64) -> Result<Bytes> {
        let is_next = {
            let mut blocks = locked(&self.blocks);
            if let Some(block) = blocks.get(number) {
                return Ok(block);
            }
            number.checked_sub(1).is_some_and(|before| blocks.has(before))
        };
        let run = if is_next { RUN } else { 1 };
        let (from, to) = (number * BLOCK, ((number + run) * BLOCK).min(self.meta.size));
        let bytes = self.fetch(from, to)?;
        let mut blocks = locked(&self.blocks);
        blocks.put(number, bytes);
        blocks.get(number).ok_or_else(|| Fault::bug("a block was fetched and is not there"))
    }

    fn fetch(&self, from: u64, to: u64) -> Result<Bytes> {
        let place = self.place.clone();
        // A weak tag does not tell whether bytes are the same.
        let tag = self.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
        let meta = self.meta.clone();
        self.worker.run(async move {
            let range = Some(GetRange::Bounded(from..to));
            let options = GetOptions { range, if_match: tag, ..GetOptions::default() };
            let wrong = |e| fault(&place.url(), e);
            let answer = place.store.get_opts(&place.path, options).await.map_err(wrong)?;
            // A server may pass over the tag that was asked for.
            let same = answer.meta.size == meta.size
                && answer.meta.e_tag == meta.e_tag
                && answer.meta.last_modified == meta.last_modified;
            let bytes = answer.bytes().await.map_err(wrong)?;
            if same && bytes.len() as u64 == to - from {
                return Ok(bytes);
            }
            let what = format!("{} changed while it was read", place.url());
            Err(Fault::new(kiln_core::Kind::InputInvalid, what)
                .with_hint("let nobody change a file while it is read"))
        })
    }
}
