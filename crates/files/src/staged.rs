//! Standard input, kept so that it can be read as often as needed.

use std::io::{self, IsTerminal};
use std::path::Path;

use kiln_core::{Fault, Kind, Result};
use tempfile::TempPath;

/// What came in on standard input, in a temporary file that is gone with this
/// value.
///
/// A run must know its input before it begins and may have to read a part of it
/// again; so all of it is kept first, in the folder for temporary files
/// (`TMPDIR`). A run that was stopped goes on if the same is given again.
#[derive(Debug)]
pub struct Staged(TempPath);

impl Staged {
    /// Reads standard input to its end.
    ///
    /// # Errors
    /// [`Kind::InputMissing`] if it is a terminal; [`Kind::Io`] if it can't be
    /// read, or the disk is full.
    pub fn stdin() -> Result<Self> {
        let input = io::stdin();
        if input.is_terminal() {
            return Err(Fault::new(Kind::InputMissing, "standard input is a terminal")
                .with_hint("give the input to it: kiln run job.toml < input.csv"));
        }
        Self::keep(&mut input.lock())
    }

    fn keep(input: &mut impl io::Read) -> Result<Self> {
        let writing = |e| Fault::io("a temporary file for standard input", e);
        let file = tempfile::Builder::new().prefix("kiln-stdin-").tempfile().map_err(writing)?;
        io::copy(input, &mut file.as_file()).map_err(writing)?;
        Ok(Self(file.into_temp_path()))
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_goes_with_its_value() {
        let staged = Staged::keep(&mut &b"a,b\n"[..]).unwrap();
        let path = staged.path().to_owned();
        assert_eq!(std::fs::read(&path).unwrap(), b"a,b\n");
        drop(staged);
        assert!(!path.exists());
    }
}
