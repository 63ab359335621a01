//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use kiln_core::Fault;

/// A file that is written beside its place, and put there by
/// [`publish`](Aside::publish). Dropped before, it leaves nothing.
pub(crate) struct Aside {
    writer: BufWriter<File>,
    path: PathBuf,
    /// None where the place is no regular file, such as `/dev/stdout`: that is
    /// written to as it is.
    beside: Option<PathBuf>,
}

impl Aside {
    pub(crate) fn create(path: &Path) -> Result<Self, Fault> {
        let beside = match fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                return Err(Fault::new(
                    kiln_core::Kind::Io,
                    format!("{} is a directory, not a file", path.display()),
                ));
            }
            Ok(there) if !there.is_file() => None,
            _ => Some(beside(path)),
        };
        let at = beside.as_deref().unwrap_or(path);
        let file = match &beside {
            Some(new) => File::create(new),
            None => File::options().write(true).open(path),
        };
        let file = file.map_err(|e| written(at, e))?;
        Ok(Self { writer: BufWriter::new(file), path: path.to_owned(), beside })
    }

    /// Puts it in its place.
    pub(crate) fn publish(mut self) -> Result<(), Fault> {
        self.writer.flush().map_err(|e| written(&self.path, e))?;
        if let Some(beside) = self.beside.take() {
            fs::rename(beside, &self.path).map_err(|e| written(&self.path, e))?;
        }
        Ok(())
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // Left behind at worst; the file itself is untouched.
            let _ = fs::remove_file(beside);
        }
    }
}

/// The fault of a file that can't be written.
pub(crate) fn written(path: &Path, error: io::Error) -> Fault {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Fault::new(kiln_core::Kind::Io, format!("{shown}: there is no such folder"))
        }
        _ => Fault::io(shown, error),
    }
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let mut dropped = Aside::create(&path).unwrap();
        dropped.write_all(b"half").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

        let mut kept = Aside::create(&path).unwrap();
        kept.write_all(b"whole").unwrap();
        assert!(!path.exists());
        kept.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_not_replaced() {
        let mut null = Aside::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.publish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
