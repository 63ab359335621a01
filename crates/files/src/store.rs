//! Files in object stores and on web servers, named by URLs.
//!
//! `s3://bucket/key`, `gs://bucket/key`, `az://container/key` and
//! `https://host/path` stand wherever the path of a file does; so a kind of file
//! does not know where its bytes come from. A file is fetched in blocks; one that
//! changes while it is read is noticed by its tag.
//!
//! Without the feature `cloud` every such URL is refused.

use std::path::Path;

#[cfg(feature = "cloud")]
mod blocks;
#[cfg(feature = "cloud")]
mod fault;
#[cfg(feature = "cloud")]
mod find;
#[cfg(feature = "cloud")]
mod place;
#[cfg(feature = "cloud")]
mod remote;
#[cfg(feature = "cloud")]
mod worker;

#[cfg(not(feature = "cloud"))]
mod without;

#[cfg(feature = "cloud")]
pub(crate) use self::fault::fault;
#[cfg(feature = "cloud")]
pub(crate) use self::find::{find, is_ready};
#[cfg(feature = "cloud")]
pub(crate) use self::place::Place;
#[cfg(feature = "cloud")]
pub(crate) use self::remote::RemoteFile;
#[cfg(not(feature = "cloud"))]
pub(crate) use self::without::{RemoteFile, find, is_ready, refused};

/// What the URLs begin with whose files can be listed.
const STORES: [&str; 4] = ["s3://", "gs://", "az://", "azure://"];

/// What the URLs of web servers begin with.
const SERVERS: [&str; 2] = ["http://", "https://"];

/// Whether this is a URL of a file in an object store or on a web server.
pub fn is_remote(path: &Path) -> bool {
    is_store(path) || begins(path, &SERVERS)
}

/// Whether this is a URL of an object store, whose files can be listed and
/// written.
pub fn is_store(path: &Path) -> bool {
    begins(path, &STORES)
}

fn begins(path: &Path, schemes: &[&str]) -> bool {
    path.to_str().is_some_and(|text| schemes.iter().any(|scheme| text.starts_with(scheme)))
}
