//! A folder of an object store.
//!
//! An object is there whole or not at all; it gets another name by being copied
//! there. There is no lock: what keeps two runners from showing parts at once is
//! that the first name of a part is unique, that all who show a run's parts show
//! the same, and that nothing is ever replaced.

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use kiln_core::{Check, Result};
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutPayload, WriteMultipart};

use super::folder::Folder;
use crate::store::{Place, fault};

/// A larger part is sent in pieces.
const PIECES: usize = 16 << 20;

pub(super) struct Bucket {
    place: Place,
    shown: String,
}

impl Bucket {
    pub(super) fn new(url: &str) -> Result<Self> {
        let place = Place::parse(url)?;
        let shown = place.url();
        Ok(Self { place, shown })
    }

    fn at(&self, name: &str) -> Result<Path> {
        let folder = self.place.path.as_ref();
        let whole = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        Path::parse(whole).map_err(|e| fault(&self.shown, e.into()))
    }

    fn wrong(&self, path: &Path) -> impl FnOnce(Error) -> kiln_core::Fault {
        let shown = self.place.url_of(path);
        move |error| fault(&shown, error)
    }

    /// The paths of all objects below a folder.
    async fn below(&self, folder: &Path) -> Result<Vec<Path>> {
        let all = self.place.store.list(Some(folder)).map_ok(|meta| meta.location);
        all.try_collect().await.map_err(self.wrong(folder))
    }
}

#[async_trait]
impl Folder for Bucket {
    fn shown(&self) -> &str {
        &self.shown
    }

    /// Only looks: whether it may be written to is told by the first part.
    async fn check(&self) -> Check {
        let what = format!("target {}", self.shown);
        match self.place.store.list(Some(&self.place.path)).next().await {
            Some(Err(error)) => Check::fail(what, fault(&self.shown, error)),
            None | Some(Ok(_)) => Check::pass(what),
        }
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let path = self.at(name)?;
        let store = &self.place.store;
        if bytes.len() <= PIECES {
            let put = store.put(&path, PutPayload::from(bytes)).await;
            return put.map(drop).map_err(self.wrong(&path));
        }
        let upload = store.put_multipart(&path).await.map_err(self.wrong(&path))?;
        let mut pieces = WriteMultipart::new(upload);
        pieces.put(bytes.into());
        pieces.finish().await.map(drop).map_err(self.wrong(&path))
    }

    async fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.put(name, bytes).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.at(name)?;
        match self.place.store.head(&path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.wrong(&path)(error)),
        }
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.at(name)?;
        let answer = match self.place.store.get(&path).await {
            Ok(answer) => answer.bytes().await,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        answer.map(|bytes| Some(bytes.to_vec())).map_err(self.wrong(&path))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.at(from)?, self.at(to)?);
        self.place.store.copy(&from, &to).await.map_err(self.wrong(&from))?;
        self.place.store.delete(&from).await.map_err(self.wrong(&from))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let path = self.at(name)?;
        match self.place.store.delete(&path).await {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.wrong(&path)(error)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let own = self.at("")?;
        let names = self.below(&self.at(folder)?).await?;
        let inside = |path: Path| {
            let rest = path.as_ref().strip_prefix(own.as_ref())?;
            Some(rest.trim_start_matches('/').to_owned())
        };
        Ok(names.into_iter().filter_map(inside).collect())
    }

    async fn remove_all(&self, folder: &str) -> Result<()> {
        for name in self.list(folder).await? {
            self.remove(&name).await?;
        }
        Ok(())
    }

    async fn lock(&self) -> Result<Box<dyn Send>> {
        Ok(Box::new(()))
    }
}
