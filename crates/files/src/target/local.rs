//! A folder of this machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use kiln_core::{Check, Fault, Kind, Result};

use super::HIDDEN;
use super::folder::Folder;

/// The file whose lock keeps others from showing parts.
const LOCK: &str = "lock";

pub(super) struct LocalFolder {
    path: PathBuf,
    shown: String,
}

impl LocalFolder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), shown: path.display().to_string() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn can_be_written(&self) -> Result<Option<String>> {
        let there = self.path.ancestors().find(|p| p.exists() || *p == "").unwrap_or(&self.path);
        let there = if there == "" { Path::new(".") } else { there };
        if !there.is_dir() {
            return Err(Fault::config(format!("{} is a file, not a folder", there.display()))
                .with_hint("a target's files lie in a folder of their own; name another"));
        }
        // Only trying tells.
        tempfile::Builder::new().prefix(".kiln-probe-").tempfile_in(there).map_err(|e| {
            Fault::io(format_args!("{} can't be written to", there.display()), e)
                .with_hint("choose a folder that you may write to")
        })?;
        Ok((there != self.path).then(|| "it will be created".to_owned()))
    }
}

/// The fault of something that could not be done to a file.
fn at(path: &Path) -> impl FnOnce(io::Error) -> Fault {
    move |error| {
        let full = error.kind() == ErrorKind::StorageFull;
        let fault = Fault::io(path.display(), error);
        if full {
            return fault
                .with_hint("free some space, then run the job again: it goes on where it stopped");
        }
        fault
    }
}

/// The fault of a file that could not be written. Its folder was there: whoever
/// has removed it has taken the run over, which the book tells at the next try.
fn writing(path: &Path) -> impl FnOnce(io::Error) -> Fault {
    move |error| match error.kind() {
        ErrorKind::NotFound => {
            let what = format!("the folder of {} was removed while it was written", path.display());
            Fault::new(Kind::Busy, what).caused_by(error)
        }
        _ => at(path)(error),
    }
}

/// Has the disk keep the names in a folder.
fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

/// Makes a folder and those above it, for good.
pub(super) fn make(path: &Path) -> Result<()> {
    if path.is_dir() || path == "" {
        return Ok(());
    }
    let above = path.parent().unwrap_or(Path::new(""));
    make(above)?;
    match fs::create_dir(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(at(path)(e)),
        _ => sync_folder(if above == "" { Path::new(".") } else { above }),
    }
}

#[async_trait]
impl Folder for LocalFolder {
    fn shown(&self) -> &str {
        &self.shown
    }

    async fn check(&self) -> Check {
        let what = format!("target folder {}", self.shown);
        match self.can_be_written() {
            Ok(None) => Check::pass(what),
            Ok(Some(note)) => Check::note(what, note),
            Err(fault) => Check::fail(what, fault),
        }
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let path = self.at(name);
        let folder = path.parent().unwrap_or(&self.path);
        make(folder)?;
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        let mut file = opened.map_err(writing(&path))?;
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
            // What is there is no whole file, and the next start removes it too.
            let _ = fs::remove_file(&path);
            return Err(writing(&path)(error));
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(writing(&path))
    }

    async fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let aside = format!("{HIDDEN}/{name}.new");
        self.remove(&aside).await?;
        self.put(&aside, bytes).await?;
        self.rename(&aside, name).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.at(name);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(&path)(e)),
        }
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.at(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(&path)(e)),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let to = self.at(to);
        fs::rename(self.at(from), &to).map_err(at(&to))?;
        sync_folder(to.parent().unwrap_or(&self.path))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let path = self.at(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(at(&path)(e)),
            _ => Ok(()),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let path = self.at(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(at(&path)(e)),
            };
            for entry in entries {
                let entry = entry.map_err(at(&path))?;
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder { folders.push(name) } else { names.push(name) }
            }
        }
        Ok(names)
    }

    async fn remove_all(&self, folder: &str) -> Result<()> {
        let path = self.at(folder);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(at(&path)(e)),
            _ => Ok(()),
        }
    }

    async fn lock(&self) -> Result<Box<dyn Send>> {
        let folder = self.at(HIDDEN);
        make(&folder)?;
        let path = folder.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::Error(e)) => Err(at(&path)(e)),
            Err(TryLockError::WouldBlock) => {
                let what = format!("another process is about to show its parts in {}", self.shown);
                Err(Fault::new(Kind::Busy, what).with_hint(format!(
                    "wait for it; if it sleeps, end it: `fuser {}` names it",
                    path.display()
                )))
            }
        }
    }
}
