//! An S3 server in the test's own process, whose buckets are folders.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The credentials of the server.
pub const ACCESS_KEY: &str = "tester";

/// The secret that must be seen nowhere.
pub const SECRET_KEY: &str = "canary-of-the-store";

/// A server with the bucket `shop`. It ends with the process.
///
/// Without credentials it is a web server, too: it gives files by their paths,
/// whole or in parts.
pub struct S3 {
    folder: TempDir,
    address: SocketAddr,
    /// Bytes until the next connection is cut; below zero, none is.
    until_cut: Arc<AtomicI64>,
}

impl S3 {
    /// A server that asks for the credentials, or for none.
    pub fn start(with_credentials: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("shop")).expect("a bucket");
        let files = FileSystem::new(folder.path()).expect("a store");
        let mut builder = S3ServiceBuilder::new(files);
        if with_credentials {
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        }
        let service = builder.build();
        let (server, port) = listener();
        on_thread(async move {
            let server = tokio::net::TcpListener::from_std(server)?;
            loop {
                let (stream, _) = server.accept().await?;
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let until_cut = Arc::new(AtomicI64::new(-1));
        let address = relay(port, Arc::clone(&until_cut));
        Self { folder, address, until_cut }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A file of the bucket, as it lies on this machine.
    pub fn path(&self, key: &str) -> PathBuf {
        self.bucket().join(key)
    }

    /// The bucket, as it lies on this machine.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join("shop")
    }

    /// Puts a file into the bucket.
    pub fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    /// Cuts one connection when it has given so many bytes more.
    pub fn cut_after(&self, bytes: i64) {
        self.until_cut.store(bytes, Ordering::SeqCst);
    }

    /// Whether the connection was cut.
    pub fn was_cut(&self) -> bool {
        self.until_cut.load(Ordering::SeqCst) < 0
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Runs a server until the process ends.
fn on_thread(server: impl Future<Output = io::Result<()>> + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(server)
    });
}

/// A way to the server that can be cut.
fn relay(server: SocketAddr, until_cut: Arc<AtomicI64>) -> SocketAddr {
    let (clients, address) = listener();
    on_thread(async move {
        let clients = tokio::net::TcpListener::from_std(clients)?;
        loop {
            let (client, _) = clients.accept().await?;
            let until_cut = Arc::clone(&until_cut);
            tokio::spawn(async move {
                let _ = hand_on(client, server, &until_cut).await;
            });
        }
    });
    address
}

async fn hand_on(client: TcpStream, server: SocketAddr, until_cut: &AtomicI64) -> io::Result<()> {
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut takes) = TcpStream::connect(server).await?.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut asks, &mut takes).await });
    let mut buffer = vec![0; 16 << 10];
    loop {
        let n = answers.read(&mut buffer).await?;
        if n == 0 {
            return hears.shutdown().await;
        }
        let left = until_cut.load(Ordering::SeqCst);
        let given = n.min(usize::try_from(left).unwrap_or(n));
        hears.write_all(&buffer[..given]).await?;
        if left < 0 {
            continue;
        }
        let left = left - given as i64;
        until_cut.store(if given < n { -1 } else { left }, Ordering::SeqCst);
        if given < n {
            return Ok(());
        }
    }
}
