//! Which files a step reads: one, several, or standard input.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_core::{Fault, Source};
use kiln_files::{Files, Found, OpenFile, Ready, Staged, is_pattern, is_remote};

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::{TextOr, Word};
use crate::spec::SourceSpec;
use crate::table::duration;

/// What is to be read.
#[derive(Clone)]
pub(super) enum Input {
    One(PathBuf),
    Several(Vec<PathBuf>),
    Standard(Arc<Staged>),
}

/// The name of standard input, in a job file and in reports.
const STANDARD: &str = "-";

impl Input {
    /// Opens it; `shown` is how the job file writes it.
    pub(super) fn open(
        self,
        shown: &str,
        open: Box<OpenFile>,
    ) -> kiln_core::Result<Box<dyn Source>> {
        match self {
            Self::One(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                open(&path, &name)
            }
            Self::Several(paths) => Ok(Box::new(Files::open(shown, paths, open)?)),
            Self::Standard(staged) => {
                let files = vec![(staged.path().to_owned(), STANDARD.to_owned())];
                // What opens it keeps it.
                let open = move |_: &Path, name: &str| open(staged.path(), name);
                Ok(Box::new(Files::named(STANDARD, files, Box::new(open))?))
            }
        }
    }
}

/// Finds what is to be read. Files that are not ready are left out of several,
/// and are a fault where they are named.
pub(super) fn find(job: &JobFile, source: &SourceSpec, files: &[Word]) -> Result<Input, Problem> {
    let ready = ready(job, source)?;
    if let Some(standard) = files.iter().find(|f| f.get_ref() == STANDARD) {
        return standard_input(job, files, standard, &ready);
    }
    let mut all: Vec<PathBuf> = Vec::new();
    for file in files {
        let found = found(job, file, &ready)?;
        if found.files.is_empty() {
            let fault = found.nothing(file.get_ref(), &ready);
            return Err(job.problem(file.span(), fault));
        }
        all.extend(found.files);
    }
    let mut seen = HashSet::new();
    all.retain(|path| seen.insert(path.clone()));
    let one = files.len() == 1 && files.iter().all(|file| !is_pattern_of(job, file));
    Ok(match all.pop_if(|_| one) {
        Some(path) => Input::One(path),
        None => Input::Several(all),
    })
}

fn standard_input(
    job: &JobFile,
    files: &[Word],
    standard: &Word,
    ready: &Ready,
) -> Result<Input, Problem> {
    let wrong = |what: &str| Err(job.problem(standard.span(), Fault::config(what)));
    if files.len() > 1 {
        return wrong("standard input can't be one of several files");
    }
    if *ready != Ready::Always {
        return wrong("`ready` means nothing for standard input");
    }
    job.stdin().map(Input::Standard).map_err(|fault| job.problem(standard.span(), fault))
}

/// Refuses what looks like a URL and is none of a file.
pub(super) fn refuse_remote(job: &JobFile, file: &Word) -> Result<(), Problem> {
    let written = file.get_ref();
    if !written.contains("://") || is_remote(Path::new(written)) {
        return Ok(());
    }
    let fault = Fault::config(format!("{written:?} is neither a path nor a URL of a file"))
        .with_hint("URLs of files begin with s3://, gs://, az://, https:// or http://");
    Err(job.problem(file.span(), fault))
}

fn is_pattern_of(job: &JobFile, file: &Word) -> bool {
    is_pattern(Path::new(file.get_ref())) && !job.path_of(file).is_ok_and(|path| path.exists())
}

fn found(job: &JobFile, file: &Word, ready: &Ready) -> Result<Found, Problem> {
    if is_pattern_of(job, file) {
        return job.find(file, ready);
    }
    let path = job.path_of(file)?;
    let mut found = Found::default();
    // One that is not there is told by whoever opens it.
    let is_there = path.exists() || is_remote(&path);
    let is_ready = !is_there || ready.holds(&path).map_err(|f| job.problem(file.span(), f))?;
    if is_ready {
        found.files.push(path)
    } else {
        found.not_ready.push(path)
    }
    Ok(found)
}

fn ready(job: &JobFile, source: &SourceSpec) -> Result<Ready, Problem> {
    let Some(spec) = &source.ready else { return Ok(Ready::Always) };
    let table = match spec.get_ref() {
        TextOr::Text(marker) => return Ok(Ready::Marker(marker.clone())),
        TextOr::Table(table) => table,
    };
    match (&table.marker, &table.ending, &table.age) {
        (Some(marker), None, None) => Ok(Ready::Marker(marker.clone())),
        (None, Some(ending), None) => Ok(Ready::Ending(ending.clone())),
        (None, None, Some(age)) => duration(age.get_ref()).map(Ready::Age).ok_or_else(|| {
            let fault = Fault::config(format!("{:?} is no length of time", age.get_ref()));
            job.problem(age.span(), fault.with_hint("write it as 30s, 5m, 2h or 1d"))
        }),
        _ => {
            let fault = Fault::config("`ready` is one of marker, ending and age")
                .with_hint("write ready = { marker = \"_SUCCESS\" } or ready = { age = \"5m\" }");
            Err(job.problem(spec.span(), fault))
        }
    }
}
