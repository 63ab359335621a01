//! Where parts lie: what a target needs of a place for files.

use async_trait::async_trait;
use kiln_core::{Check, Result};

/// A place for files, which are named by relative paths with `/` between their
/// parts.
#[async_trait]
pub(super) trait Folder: Send + Sync {
    /// Its name for people.
    fn shown(&self) -> &str;

    /// Looks whether it can be written to, and leaves nothing behind.
    async fn check(&self) -> Check;

    /// Makes a file that is not there yet, whole and for good, or not at all.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()>;

    /// Puts a small file in the place of what has its name: whoever looks sees
    /// the one or the other.
    async fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()>;

    /// The size of a file in bytes, if it is there.
    async fn size(&self, name: &str) -> Result<Option<u64>>;

    /// The bytes of a small file, if it is there.
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Gives a file another name, for good; whoever looks sees the one or the
    /// other. What had that name is gone.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file; one that is not there is gone already.
    async fn remove(&self, name: &str) -> Result<()>;

    /// The names of all files in a folder and those below it.
    async fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// Removes a folder with all in it.
    async fn remove_all(&self, folder: &str) -> Result<()>;

    /// Keeps every other process from showing or removing parts, as long as
    /// what it gives lives.
    ///
    /// # Errors
    /// [`Kind::Busy`](kiln_core::Kind::Busy) if another has it.
    async fn lock(&self) -> Result<Box<dyn Send>>;
}
