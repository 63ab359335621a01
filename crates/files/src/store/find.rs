//! Which files of a store are meant.

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use glob::{MatchOptions, Pattern};
use kiln_core::{Fault, Result};
use object_store::path::Path as Key;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _};

use super::fault;
use super::place::Place;
use super::worker::Worker;
use crate::find::{Found, Ready};

/// The files that a pattern means, as [`find`](crate::find()) does in folders:
/// in the order of their names, byte by byte.
pub(crate) fn find(pattern: &str, ready: &Ready) -> Result<Found> {
    // What stands before the first sign of a pattern is a folder.
    let sign = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let folder = &pattern[..pattern[..sign].rfind('/').map_or(0, |slash| slash + 1)];
    let place = Place::parse(folder)?;
    let names = pattern.strip_prefix(&format!("{}/", place.root)).unwrap_or_default();
    let names = Pattern::new(names).map_err(|e| {
        Fault::config(format!("{pattern:?} is no pattern of file names: {e}"))
            .with_hint("a character that means itself stands in brackets: [*]")
    })?;
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let worker = Worker::start()?;
    let (at, shown) = (place.clone(), folder.to_owned());
    let mut keys: Vec<Key> = worker.run(async move {
        let under = Some(&at.path).filter(|path| !path.as_ref().is_empty());
        let all = at.store.list(under).map_ok(|meta| meta.location).try_collect::<Vec<_>>();
        all.await.map_err(|e| fault(&shown, e))
    })?;
    keys.retain(|key| names.matches_with(key.as_ref(), options) && !is_marker(key, ready));
    keys.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    let mut found = Found::default();
    for key in keys {
        let url = PathBuf::from(place.url_of(&key));
        let list = if is_ready(&url, ready)? { &mut found.files } else { &mut found.not_ready };
        list.push(url);
    }
    Ok(found)
}

fn is_marker(key: &Key, ready: &Ready) -> bool {
    let name = key.filename().unwrap_or_default();
    match ready {
        Ready::Marker(marker) => name == marker,
        Ready::Ending(ending) => name.ends_with(ending.as_str()),
        Ready::Always | Ready::Age(_) => false,
    }
}

/// Whether a file is all there.
pub(crate) fn is_ready(url: &Path, ready: &Ready) -> Result<bool> {
    let url = url.to_string_lossy();
    match ready {
        Ready::Always => Ok(true),
        Ready::Marker(marker) => {
            let folder = &url[..url.rfind('/').map_or(0, |slash| slash + 1)];
            Ok(changed(&format!("{folder}{marker}"))?.is_some())
        }
        Ready::Ending(ending) => Ok(changed(&format!("{url}{ending}"))?.is_some()),
        Ready::Age(age) => Ok(changed(&url)?.is_some_and(|then| {
            // A file of the future is not old.
            let passed = std::time::SystemTime::now().duration_since(then);
            passed.is_ok_and(|passed| passed >= *age)
        })),
    }
}

/// When a file was changed last, if it is there.
fn changed(url: &str) -> Result<Option<std::time::SystemTime>> {
    let place = Place::parse(url)?;
    Worker::start()?.run(async move {
        match place.store.head(&place.path).await {
            Ok(meta) => Ok(Some(meta.last_modified.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(fault(&place.url(), e)),
        }
    })
}
