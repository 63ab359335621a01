//! Real inputs that are too large for the repository.

use std::path::{Path, PathBuf};

/// A file or folder among the shared data: in the folder that the environment
/// variable `KILN_SHARED_DATA` names, or else in `shared/data` beside the
/// workspace. Where it is missing the test has to be skipped, and says so.
///
/// # Panics
/// If it is missing and `CI=true`: there no test may be skipped.
#[allow(clippy::panic, clippy::print_stderr, reason = "for tests only")]
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KILN_SHARED_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    let missing = format!("{} is missing", path.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    eprintln!("skipped: {missing}; KILN_SHARED_DATA names the folder of the shared data");
    None
}
