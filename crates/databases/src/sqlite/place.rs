//! Where a database lies, and how it is opened.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use kiln_core::{Fault, Kind, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{fault, number};

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// The statements that stay prepared.
const CACHED_STATEMENTS: usize = 64;

/// Where a database lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory; it ends with the process.
    Memory,
    /// In a file.
    File(PathBuf),
}

impl Place {
    /// Reads `sqlite:path`, `sqlite:///absolute/path` or `sqlite::memory:`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Fault::config(format!("{url}: {why}")).with_hint(
                "write it as sqlite:shop.db, sqlite:///var/lib/shop.db or sqlite::memory:",
            )
        };
        let rest = url.strip_prefix("sqlite:").ok_or_else(|| wrong("is no URL of SQLite"))?;
        if rest == ":memory:" {
            return Ok(Self::Memory);
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() {
            return Err(wrong("names no file"));
        }
        if path.contains('\0') {
            return Err(wrong("holds a NUL character"));
        }
        if path.contains('?') {
            return Err(wrong("takes no parameters"));
        }
        Ok(Self::File(PathBuf::from(path)))
    }

    /// Whether there is a file already.
    pub(super) fn exists(&self) -> bool {
        matches!(self, Self::File(path) if path.exists())
    }

    /// Its URL, the same from wherever it is named, before and after the file is
    /// made.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Memory => self.to_string(),
            Self::File(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let real = fs::canonicalize(&path).or_else(|_| {
                    let name = path.file_name().unwrap_or_default();
                    fs::canonicalize(folder(&path)).map(|folder| folder.join(name))
                });
                Self::File(real.unwrap_or(path)).to_string()
            }
        }
    }

    /// The connection that writes; the file is made if it is missing.
    pub(super) fn open(&self) -> Result<Connection> {
        let connection = self.connect(true)?;
        let journal = write_ahead(&connection).map_err(|e| self.fault(e))?;
        // With a write-ahead log NORMAL loses nothing when the process dies. At
        // a power cut it may lose the last transactions, never a part of one:
        // rows and mark go back together, and the run goes on from there. Where
        // a file system has no such log, only FULL keeps the file whole.
        let synchronous = if journal == "wal" { "NORMAL" } else { "FULL" };
        connection.pragma_update(None, "synchronous", synchronous).map_err(|e| self.fault(e))?;
        Ok(connection)
    }

    /// A connection that only looks, and leaves no trace. Where there is no file
    /// yet it looks at an empty database in memory.
    pub(super) fn open_to_look(&self) -> Result<Connection> {
        if self.exists() { self.connect(false) } else { Self::Memory.connect(false) }
    }

    /// A connection for reading rows, which can't write.
    pub(super) fn open_to_read(&self) -> Result<Connection> {
        let connection = self.connect(false)?;
        connection.pragma_update(None, "query_only", true).map_err(|e| self.fault(e))?;
        Ok(connection)
    }

    fn connect(&self, create: bool) -> Result<Connection> {
        let connection = match self {
            Self::Memory => Connection::open_in_memory().map_err(|e| self.fault(e))?,
            Self::File(path) => {
                self.look_at_file(path)?;
                let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
                Connection::open_with_flags(path, flags).map_err(|e| self.fault(e))?
            }
        };
        self.configure(&connection).map_err(|e| self.fault(e))?;
        Ok(connection)
    }

    fn configure(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        connection.pragma_update(None, "foreign_keys", true)?;
        number::register(connection)?;
        // The first look at the file: it tells whether it is a database.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    }

    /// Says what SQLite would only call "unable to open database file".
    fn look_at_file(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Err(Fault::config(format!("{self} is a directory, not a database"))
                .with_hint("name a file in it"));
        }
        let folder = folder(path);
        if !folder.is_dir() {
            return Err(Fault::config(format!("{self}: there is no folder {}", folder.display()))
                .with_hint("create the folder, or correct the path"));
        }
        if path.exists() {
            File::open(path).map_err(|e| Fault::io(self, e))?;
        }
        Ok(())
    }

    /// Whether the file could be made, where there is none yet.
    pub(super) fn can_be_made(&self) -> Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        self.look_at_file(path)?;
        // Only trying tells: permissions, quotas and file systems all have a say.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.probe", std::process::id()));
        let probe = folder(path).join(name);
        let made = OpenOptions::new().write(true).create_new(true).open(&probe);
        made.and_then(|_| fs::remove_file(&probe)).map_err(|e| {
            Fault::io(format_args!("{self} can't be created"), e)
                .with_hint("choose a folder that you may write to")
        })
    }

    fn fault(&self, error: rusqlite::Error) -> Fault {
        let fault = fault::classify(error).at(self);
        match fault.code() {
            Some("SQLITE_NOTADB") => fault.with_hint("the file is something else; name another"),
            _ if fault.kind() == Kind::Busy => {
                fault.with_hint("another program holds the database; close it or try again")
            }
            _ => fault,
        }
    }
}

/// Has the file keep a write-ahead log, where its file system allows it; gives
/// what it keeps. SQLite does not wait by itself for another that is about to do
/// the same.
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let patience = Instant::now() + BUSY;
    loop {
        let kept = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match kept.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
            Err(Some(ErrorCode::DatabaseBusy)) if Instant::now() < patience => {
                thread::sleep(Duration::from_millis(5));
            }
            _ => return kept,
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("sqlite::memory:"),
            Self::File(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_file_or_memory() {
        let file = |path: &str| Place::File(PathBuf::from(path));
        assert_eq!(Place::parse("sqlite:shop.db").unwrap(), file("shop.db"));
        assert_eq!(Place::parse("sqlite:///var/shop.db").unwrap(), file("/var/shop.db"));
        assert_eq!(Place::parse("sqlite:/var/my shop.db").unwrap(), file("/var/my shop.db"));
        assert_eq!(Place::parse("sqlite::memory:").unwrap(), Place::Memory);
        for url in ["sqlite:", "sqlite://", "sqlite:a\0b", "sqlite:shop.db?mode=ro", "shop.db"] {
            assert_eq!(Place::parse(url).unwrap_err().kind(), Kind::Config, "{url:?}");
        }
    }
}
