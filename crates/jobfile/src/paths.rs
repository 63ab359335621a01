//! Where the paths of a job file lead.

use std::path::{Component, Path, PathBuf};

use kiln_core::{Fault, Kind, Result};

/// Resolves a path of a job file in `folder`.
///
/// | the path | is relative to |
/// |---|---|
/// | absolute | — |
/// | begins with a value from outside of the job file | the current directory |
/// | any other | the job file's folder, which it may not leave |
///
/// # Errors
/// [`Kind::NotPermitted`] for a path written in the job file that leaves its
/// folder by `..` or by a link.
pub(crate) fn resolve(folder: &Path, written: &str, outside: bool) -> Result<PathBuf> {
    let path = Path::new(written);
    if outside || path.is_absolute() {
        return Ok(path.to_owned());
    }
    if climbs_out(path) {
        return Err(leads_outside(written, None));
    }
    let whole = folder.join(path);
    let Ok(home) = std::fs::canonicalize(if folder == "" { Path::new(".") } else { folder }) else {
        return Ok(whole);
    };
    match real_place(&whole) {
        Some(place) if !place.starts_with(&home) => Err(leads_outside(written, Some(&place))),
        _ => Ok(whole),
    }
}

/// Refuses a file that was found in `folder` and really lies elsewhere.
///
/// # Errors
/// [`Kind::NotPermitted`].
pub(crate) fn refuse_outside(folder: &Path, path: &Path) -> Result<()> {
    let home = std::fs::canonicalize(if folder == "" { Path::new(".") } else { folder });
    match (home, std::fs::canonicalize(path)) {
        (Ok(home), Ok(place)) if !place.starts_with(&home) => {
            Err(leads_outside(&path.display().to_string(), Some(&place)))
        }
        _ => Ok(()),
    }
}

/// Whether `..` leads above where the path begins.
fn climbs_out(path: &Path) -> bool {
    let mut depth = 0i32;
    path.components().any(|component| {
        match component {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
        depth < 0
    })
}

/// Where the part of the path that exists really lies, links followed.
fn real_place(path: &Path) -> Option<PathBuf> {
    path.ancestors().filter(|p| *p != "").find_map(|part| {
        // A link that leads nowhere yet leads there all the same.
        match std::fs::read_link(part) {
            Ok(target) if !part.exists() => {
                let target = part.parent().unwrap_or(Path::new("")).join(target);
                target.parent().and_then(|p| std::fs::canonicalize(p).ok())
            }
            _ => std::fs::canonicalize(part).ok(),
        }
    })
}

fn leads_outside(written: &str, place: Option<&Path>) -> Fault {
    let to = place.map(|p| format!(", to {}", p.display())).unwrap_or_default();
    Fault::new(Kind::NotPermitted, format!("{written} leads out of the job file's folder{to}"))
        .with_hint(
            "keep it in the folder, or make it a parameter and name it on the command line with \
             --param, where it may lie anywhere",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_job_file_stays_in_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let (job, other) = (home.path().join("job"), home.path().join("other"));
        std::fs::create_dir_all(job.join("sub")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(&other, job.join("link")).unwrap();
        std::os::unix::fs::symlink(other.join("new"), job.join("nowhere")).unwrap();
        std::os::unix::fs::symlink("sub", job.join("inside")).unwrap();

        for fine in ["a.csv", "sub/a.csv", "sub/../a.csv", "new/deep/a.csv", "inside/a.csv"] {
            assert_eq!(resolve(&job, fine, false).unwrap(), job.join(fine), "{fine}");
        }
        for bad in ["../other/secret", "sub/../../x", "link/secret", "link", "nowhere"] {
            let fault = resolve(&job, bad, false).expect_err(bad);
            assert_eq!(fault.kind(), Kind::NotPermitted, "{bad}");
            assert_eq!(resolve(&job, bad, true).unwrap(), Path::new(bad));
        }
        assert_eq!(resolve(&job, "/etc/passwd", false).unwrap(), Path::new("/etc/passwd"));
    }

    #[test]
    fn a_job_file_in_the_current_folder_has_short_paths() {
        assert_eq!(resolve(Path::new(""), "a.csv", false).unwrap(), Path::new("a.csv"));
    }
}
