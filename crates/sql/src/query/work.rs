//! The folder in which a query works: its result, and what does not fit into
//! memory meanwhile.
//!
//! ```text
//! .kiln/query-1f…/lock           who has it stages, or removes
//!                /result-7a….arrow
//!                /staging-…/     written aside; what a killed run left goes first
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use kiln_core::{Fault, Kind, Result};
use tempfile::TempDir;

const LOCK: &str = "lock";

/// A folder for one query of one job.
#[derive(Debug, Clone)]
pub(super) struct Work {
    folder: PathBuf,
}

/// The same, kept from all others as long as this lives.
pub(super) struct Locked<'a> {
    folder: &'a Path,
    _lock: File,
}

impl Work {
    /// In this folder, for whoever has this name.
    pub(super) fn new(within: &Path, name: &str) -> Self {
        Self { folder: within.join(format!("query-{name}")) }
    }

    /// # Errors
    /// [`Kind::Busy`] if another process has it.
    pub(super) fn lock(&self) -> Result<Locked<'_>> {
        loop {
            fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
            let path = self.folder.join(LOCK);
            let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = match opened {
                // It was removed in between.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(at(&path))?,
            };
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => {
                    return Ok(Locked { folder: &self.folder, _lock: file });
                }
                // Who had it has removed the folder.
                Ok(()) => {}
                Err(TryLockError::Error(e)) => return Err(at(&path)(e)),
                Err(TryLockError::WouldBlock) => {
                    let what = "another process is running this query";
                    return Err(Fault::new(Kind::Busy, what)
                        .with_hint(format!("wait for it; `fuser {}` names it", path.display())));
                }
            }
        }
    }

    /// Removes the result, if nobody else is at work; and the folder in which all
    /// work, if it is hidden and empty: any other was chosen by somebody.
    pub(super) fn remove(&self) {
        if !self.folder.exists() {
            return;
        }
        // What stays goes when the query is run the next time.
        if let Ok(_locked) = self.lock() {
            let _ = fs::remove_dir_all(&self.folder);
            let is_hidden = |within: &&Path| {
                within.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
            };
            if let Some(within) = self.folder.parent().filter(is_hidden) {
                let _ = fs::remove_dir(within);
            }
        }
    }
}

impl Locked<'_> {
    /// Where the result of this name lies, if it is there.
    pub(super) fn result(&self, name: &str) -> PathBuf {
        self.folder.join(format!("result-{name}.arrow"))
    }

    /// A folder to write in, which goes with its value. What earlier ones have
    /// left goes now, and so do results that are of no use any more.
    pub(super) fn staging(&self) -> Result<TempDir> {
        for entry in fs::read_dir(self.folder).map_err(at(self.folder))? {
            let path = entry.map_err(at(self.folder))?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(at(&path))?;
            } else if path.file_name().is_some_and(|name| name != LOCK) {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        tempfile::Builder::new().prefix("staging-").tempdir_in(self.folder).map_err(at(self.folder))
    }

    /// Gives a file that is whole its name, for good.
    pub(super) fn publish(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(at(to))?;
        File::open(self.folder).and_then(|folder| folder.sync_all()).map_err(at(self.folder))
    }
}

/// Whether the file is the one at that path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(there)) => file.ino() == there.ino() && file.dev() == there.dev(),
        _ => false,
    }
}

/// A file that is open can't be removed here.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Fault {
    move |error| {
        Fault::io(path.display(), error)
            .with_hint("the query works in this folder; name another: work = \"…\" in [source]")
    }
}
