//! What stands in for object stores in a build without them.

use std::convert::Infallible;
use std::path::Path;

use kiln_core::{Fault, Result};

use crate::find::{Found, Ready};

/// A file that there is none of.
#[derive(Debug)]
pub(crate) struct RemoteFile(Infallible);

/// Why a URL is refused.
pub(crate) fn refused(url: &Path) -> Fault {
    Fault::config(format!("{}: this kiln was built without object stores", url.display()))
        .with_hint("build it with them: cargo install kiln-cli --features cloud")
}

impl RemoteFile {
    pub(crate) fn open(url: &Path) -> Result<Self> {
        Err(refused(url))
    }

    pub(crate) fn size(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn tag(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn read(&self, _: u64, _: &mut [u8]) -> std::io::Result<usize> {
        match self.0 {}
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        match self.0 {}
    }
}

pub(crate) fn find(pattern: &str, _: &Ready) -> Result<Found> {
    Err(refused(Path::new(pattern)))
}

pub(crate) fn is_ready(url: &Path, _: &Ready) -> Result<bool> {
    Err(refused(url))
}
