//! From a URL to a store and a place in it.

use std::sync::Arc;
use std::time::Duration;

use kiln_core::{Fault, Result};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::fault;

/// A place in a store.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    /// The URL up to the path, without a slash at its end.
    pub(crate) root: String,
}

impl Place {
    /// Reads a URL; whoever may use the store is told by the environment, as
    /// the tools of its maker do (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for a URL that names no place,
    /// and where the environment does not say enough.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| no_place(url))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(Fault::config("credentials stand in the URL of a file")
                .with_hint("leave them out: they are taken from the environment"));
        }
        if host.is_empty() {
            return Err(no_place(url));
        }
        if scheme.starts_with("http") && path.contains(['?', '#']) {
            let front = path.split(['?', '#']).next().unwrap_or_default();
            let what = format!("{scheme}://{host}/{front}?…: a URL with a query is not read");
            return Err(Fault::config(what).with_hint("fetch the file first"));
        }
        let root = format!("{scheme}://{host}");
        let path = match scheme {
            "http" | "https" => Path::from_url_path(path),
            _ => Path::parse(path.trim_matches('/')),
        };
        let path = path.map_err(|e| fault(url, e.into()))?;
        let store = store(scheme, &root).map_err(|e| fault(url, e))?;
        Ok(Self { store, path, root })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        self.url_of(&self.path)
    }

    /// The URL of another place in the same store.
    pub(crate) fn url_of(&self, path: &Path) -> String {
        format!("{}/{path}", self.root)
    }
}

fn no_place(url: &str) -> Fault {
    Fault::config(format!("{url:?} names no file"))
        .with_hint("write it as s3://bucket/folder/file.csv")
}

fn store(scheme: &str, root: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    Ok(match scheme {
        "s3" => {
            let plain = ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]
                .iter()
                .any(|name| std::env::var(name).is_ok_and(|url| url.starts_with("http://")));
            let builder = AmazonS3Builder::from_env().with_url(root).with_retry(patience());
            // Who names a plain endpoint wants it.
            let builder = if plain { builder.with_allow_http(true) } else { builder };
            Arc::new(builder.build()?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(root);
            Arc::new(builder.with_retry(patience()).build()?)
        }
        "az" | "azure" => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(root);
            Arc::new(builder.with_retry(patience()).build()?)
        }
        _ => {
            let options = ClientOptions::new().with_allow_http(scheme == "http");
            let builder = HttpBuilder::new().with_url(root).with_client_options(options);
            Arc::new(builder.with_retry(patience()).build()?)
        }
    })
}

/// A request is tried again a few times; the engine has more patience.
fn patience() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() }
}
