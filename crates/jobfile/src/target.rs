//! `[target]`: from a URL to a database, or from a folder to files in it.

mod files;

use std::path::Path;
use std::sync::Arc;

use kiln_core::{Fault, Result as Outcome};
use kiln_databases::{Database, Script, connect};

use crate::interpolate::Outside;
use crate::jobfile::JobFile;
use crate::load::Loaded;
use crate::nearest::suggestion;
use crate::paths::resolve;
use crate::problem::{Problem, Text};
use crate::shapes::{TextOr, Word};

/// The kinds of databases by which a set-up script can be chosen.
const KINDS: [&str; 3] = ["sqlite", "postgres", "mysql"];

/// The URL of a job's target, paths in it resolved; a folder's is `file:…`.
pub(crate) fn url(loaded: &Loaded, folder: &Path, text: &Text) -> Result<String, Problem> {
    let target = &loaded.spec.target;
    let (word, written) = match (&target.url, &target.file) {
        (Some(url), None) => (url, url.clone()),
        (None, Some(file)) if files::is_url(file.get_ref()) => (file, file.clone()),
        (None, Some(file)) => (file, Word::new(file.span(), format!("file:{}", file.get_ref()))),
        (Some(_), Some(file)) => {
            let fault = Fault::config("a target is a database or files, not both");
            return Err(text.problem(file.span(), fault.with_hint("take one of url and file out")));
        }
        (None, None) => {
            let fault = Fault::config("[target] names neither a database nor files")
                .with_hint("write url = \"…\" for a database, file = \"…\" for a folder of files");
            return Err(text.problem(loaded.spec.name.span(), fault).label("of this job"));
        }
    };
    resolved_url(&written, folder, &loaded.outside).map_err(|f| text.problem(word.span(), f))
}

/// Whether the job writes files.
pub(crate) fn is_files(job: &JobFile) -> bool {
    files::is_url(job.target_url())
}

/// The URL with a path in it resolved.
pub(crate) fn resolved_url(url: &Word, folder: &Path, outside: &Outside) -> Outcome<String> {
    let written = url.get_ref();
    let kind = ["sqlite:", "file:"].into_iter().find(|kind| written.starts_with(kind));
    let Some(kind) = kind else { return Ok(written.clone()) };
    let rest = &written[kind.len()..];
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path == ":memory:" {
        return Ok(written.clone());
    }
    let path = resolve(folder, path, outside.contains(&url.span()))?;
    Ok(format!("{kind}{}", path.display()))
}

/// The database of a job; where its target is files, that which keeps its ledger
/// stands behind it. Nothing is opened yet.
pub(crate) async fn open(job: &JobFile) -> Result<Arc<dyn Database>, Problem> {
    if is_files(job) {
        return files::open(job).await;
    }
    files::refuse_keys(job)?;
    let script = script(job)?;
    let span = job.spec().target.span();
    connect(job.target_url(), script).await.map_err(|fault| job.problem(span, fault))
}

/// The set-up script of a job, if it has one.
pub(crate) fn script(job: &JobFile) -> Result<Option<Script>, Problem> {
    let Some(setup) = &job.spec().target.setup else { return Ok(None) };
    let chosen;
    let word = match setup.get_ref() {
        TextOr::Text(text) => {
            chosen = Word::new(setup.span(), text.clone());
            &chosen
        }
        TextOr::Table(scripts) => {
            if let Some(unknown) = scripts.keys().find(|k| !KINDS.contains(&k.as_str())) {
                let fault = Fault::config(format!("{unknown:?} is no database that kiln knows"))
                    .with_hint(suggestion("databases", unknown, &KINDS));
                return Err(job.problem(setup.span(), fault));
            }
            let kind = kind(job.target_url());
            if !KINDS.contains(&kind) {
                // What is wrong with the URL is said when it is opened.
                return Ok(None);
            }
            scripts.get(kind).ok_or_else(|| {
                let fault = Fault::config(format!("there is no set-up script for {kind}"))
                    .with_hint(format!("add {kind} = \"…\" to setup"));
                job.problem(setup.span(), fault)
            })?
        }
    };
    let path = job.path_of(word)?;
    let sql = std::fs::read_to_string(&path).map_err(|e| {
        let fault = match e.kind() {
            std::io::ErrorKind::NotFound => {
                Fault::config(format!("there is no set-up script {}", path.display()))
            }
            std::io::ErrorKind::InvalidData => {
                Fault::config(format!("the set-up script {} is not UTF-8", path.display()))
            }
            _ => Fault::io(path.display(), e),
        };
        job.problem(word.span(), fault)
    })?;
    Ok(Some(Script { name: path.display().to_string(), sql }))
}

/// The kind of database that a URL names.
fn kind(url: &str) -> &str {
    match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
        "postgresql" => "postgres",
        "mariadb" => "mysql",
        scheme => scheme,
    }
}
