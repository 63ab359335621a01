//! A MariaDB of a test's own, which it may kill, or hold up for everybody.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::account::{as_server, free_port, give};
use crate::database::TestDatabase;

/// A server that is gone when the test ends. It listens on 127.0.0.1; its user
/// `root` needs no password.
#[derive(Debug)]
pub struct OwnMysql {
    folder: TempDir,
    port: u16,
    process: Mutex<Option<Child>>,
}

impl OwnMysql {
    /// Starts a server.
    ///
    /// # Panics
    /// With what the server says, if it does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        give(folder.path());
        let mut server = Self { folder, port: 0, process: Mutex::new(None) };
        let mut made = as_server("mariadb-install-db");
        made.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        let output = made.arg(server.option("datadir", "data")).output().expect("MariaDB");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mariadb-install-db: {said}");
        for _ in 0..5 {
            server.port = free_port();
            if server.try_to_start() {
                return server;
            }
        }
        panic!("{}", server.log());
    }

    /// Kills it as a crash would: nothing is tidied up. What it has said to be
    /// committed outlives it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&self) {
        let mut process = self.process.lock().expect("a process").take().expect("a living process");
        process.kill().expect("its end");
        process.wait().expect("its end");
    }

    /// Starts it where it was, and waits until it takes connections.
    ///
    /// # Panics
    /// With what the server says, if it does not start.
    pub fn start_again(&self) {
        let began = Instant::now();
        // The port may not be free yet.
        while !self.try_to_start() {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A fresh database on it.
    pub async fn database(&self) -> TestDatabase {
        let url = format!("mysql://root@127.0.0.1:{}/mysql", self.port);
        crate::database::mysql_at(&url).await
    }

    /// Whether it took the port, and takes connections.
    fn try_to_start(&self) -> bool {
        let log = || File::options().create(true).append(true).open(self.path("log"));
        let mut start = as_server("/usr/sbin/mariadbd");
        start
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-log-bin"])
            .args([format!("--port={}", self.port), self.option("socket", "socket")])
            // What is committed is with the system, which outlives the server.
            .args([self.option("datadir", "data"), "--innodb-flush-log-at-trx-commit=2".into()])
            .stdin(Stdio::null())
            .stdout(log().expect("a log"))
            .stderr(log().expect("a log"));
        let mut process = start.spawn().expect("MariaDB");
        while process.try_wait().expect("its state").is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                *self.process.lock().expect("a process") = Some(process);
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn option(&self, name: &str, file: &str) -> String {
        format!("--{name}={}", self.path(file).display())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for OwnMysql {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.lock().ok().and_then(|mut process| process.take()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
