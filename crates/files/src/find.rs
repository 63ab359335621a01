//! Which files are meant: patterns, and whether a file is all there.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use glob::{MatchOptions, Pattern, glob_with};
use kiln_core::{Fault, Kind, Result};

use crate::store::{self, is_remote, is_store};

/// When a file that is being delivered is all there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ready {
    /// At once.
    #[default]
    Always,
    /// When a file of this name lies in its folder, such as `_SUCCESS`.
    Marker(String),
    /// When a file of its own name with this ending lies beside it: `.done`
    /// means `a.csv.done` for `a.csv`.
    Ending(String),
    /// When nobody has changed it for so long.
    Age(Duration),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The files, each once.
    pub files: Vec<PathBuf>,
    /// Files that match and are not [ready](Ready).
    pub not_ready: Vec<PathBuf>,
}

/// Whether a path names many files: it has a `*`, `?` or `[` in it and is no
/// file itself. The files of a web server can't be listed.
pub fn is_pattern(path: &Path) -> bool {
    if is_remote(path) && !is_store(path) {
        return false;
    }
    path.to_string_lossy().contains(['*', '?', '[']) && !path.exists()
}

/// The files in `folder`, or those of an object store's URL, that the pattern
/// means: `*` and `?` stand for any
/// characters, `[ab]` for one of them, `**` for any folders. They come in the
/// order of their paths, byte by byte. Names that begin with a dot are left out
/// unless the pattern has the dot; folders always are.
///
/// # Errors
/// * [`Kind::Config`]: it is no pattern.
/// * [`Kind::NotPermitted`], [`Kind::Io`]: a folder can't be looked through.
pub fn find(folder: &Path, pattern: &str, ready: &Ready) -> Result<Found> {
    if is_remote(Path::new(pattern)) {
        return store::find(pattern, ready);
    }
    let whole = match folder.to_string_lossy() {
        folder if folder.is_empty() || Path::new(pattern).is_absolute() => pattern.to_owned(),
        folder => format!("{}/{pattern}", Pattern::escape(&folder)),
    };
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let no_pattern = |e| {
        Fault::config(format!("{pattern:?} is no pattern of file names: {e}"))
            .with_hint("a character that means itself stands in brackets: [*]")
    };
    let mut paths = Vec::new();
    for path in glob_with(&whole, options).map_err(no_pattern)? {
        let path = path.map_err(|e| {
            let shown = e.path().display().to_string();
            Fault::io(shown, e.into())
        })?;
        if !path.is_dir() && !is_marker(&path, ready) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    let mut found = Found::default();
    for path in paths {
        let list = if ready.holds(&path)? { &mut found.files } else { &mut found.not_ready };
        list.push(path);
    }
    Ok(found)
}

/// Whether the file is there to say that others are.
fn is_marker(path: &Path, ready: &Ready) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match ready {
        Ready::Marker(marker) => name == marker.as_str(),
        Ready::Ending(ending) => name.ends_with(ending.as_str()),
        Ready::Always | Ready::Age(_) => false,
    }
}

impl Ready {
    /// Whether a file is all there.
    ///
    /// # Errors
    /// [`Kind::InputMissing`] if it is not there at all, [`Kind::NotPermitted`],
    /// [`Kind::Io`].
    pub fn holds(&self, path: &Path) -> Result<bool> {
        if is_remote(path) {
            return store::is_ready(path, self);
        }
        let beside = |name: String| path.parent().unwrap_or(Path::new("")).join(name).exists();
        let name = || path.file_name().unwrap_or_default().to_string_lossy();
        Ok(match self {
            Self::Always => true,
            Self::Marker(marker) => beside(marker.clone()),
            Self::Ending(ending) => beside(format!("{}{ending}", name())),
            Self::Age(age) => {
                let changed = std::fs::metadata(path).and_then(|m| m.modified());
                let changed = changed.map_err(|e| Fault::io(path.display(), e))?;
                // A file of the future is not old.
                SystemTime::now().duration_since(changed).is_ok_and(|passed| passed >= *age)
            }
        })
    }

    /// What is waited for, of a file.
    pub fn expectation(&self, path: &Path) -> String {
        let shown = path.display();
        match self {
            Self::Always => format!("{shown} is not there"),
            Self::Marker(marker) => format!("{shown} is not ready: there is no {marker} beside it"),
            Self::Ending(ending) => format!("{shown} is not ready: there is no {shown}{ending}"),
            Self::Age(age) => {
                format!("{shown} is not ready: it was changed in the last {} s", age.as_secs())
            }
        }
    }
}

impl Found {
    /// The fault of there being no file to read.
    pub fn nothing(&self, pattern: &str, ready: &Ready) -> Fault {
        match self.not_ready.first() {
            None => Fault::new(Kind::InputMissing, format!("there is no file {pattern}"))
                .with_hint("check the folder and the pattern"),
            Some(path) => Fault::new(Kind::InputMissing, ready.expectation(path))
                .with_hint("run again when it has been delivered whole"),
        }
    }
}
