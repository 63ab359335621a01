//! A PostgreSQL of a test's own, set up as the test needs it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::account::{as_server, free_port, give};
use crate::database::TestDatabase;

/// A server that is gone when the test ends. Its superuser is `tester`; it
/// listens on 127.0.0.1 and on a socket in [`folder`](Self::folder).
#[derive(Debug)]
pub struct OwnPostgres {
    folder: TempDir,
    programs: PathBuf,
    /// Where it listens.
    pub port: u16,
}

impl OwnPostgres {
    /// Starts a server with these files in its data folder, and these lines in
    /// its `postgresql.conf`.
    ///
    /// # Panics
    /// With what the server says, if it does not start.
    pub fn start(files: &[(&str, &str)], settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        give(folder.path());
        let mut server = Self { folder, programs: programs(), port: 0 };
        let data = server.folder.path().join("data");
        let encoding = ["-E", "UTF8", "--locale=C.UTF-8"];
        let made = ["-D", text(&data), "-U", "tester", "-A", "trust", "--no-sync"];
        server.run("initdb", &[made.as_slice(), &encoding].concat());
        for (name, text) in files {
            server.write(name, text);
        }
        let before = std::fs::read_to_string(data.join("postgresql.conf")).expect("its settings");
        let socket = server.folder.path().display();
        let own = "listen_addresses = '127.0.0.1'\nfsync = off\nfull_page_writes = off";
        let all = format!("{before}\n{own}\nunix_socket_directories = '{socket}'\n{settings}\n");
        server.write("postgresql.conf", &all);
        server.listen();
        server
    }

    /// Kills it as a crash would: nothing is tidied up. What it has said to be
    /// committed outlives it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&self) {
        let file = std::fs::read_to_string(self.path("data/postmaster.pid")).expect("a server");
        let pid = file.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        // Its sessions end when they see that it is gone.
        kill_process(pid.expect("its process"), Signal::KILL).expect("a living process");
    }

    /// Starts it where it was, and waits until it takes connections.
    ///
    /// # Panics
    /// With what the server says, if it does not start.
    pub fn start_again(&self) {
        let began = Instant::now();
        // The port, or the memory of the one that was killed, may not be free yet.
        while !self.try_to_start() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A fresh database on it.
    pub async fn database(&self) -> TestDatabase {
        crate::database::postgres_at(&self.url()).await
    }

    /// Tries ports until one is still free when the server takes it.
    fn listen(&mut self) {
        for _ in 0..5 {
            self.port = free_port();
            if self.try_to_start() {
                return;
            }
        }
        panic!("{}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    fn try_to_start(&self) -> bool {
        let (data, log) = (self.path("data"), self.path("log"));
        let port = format!("-p {}", self.port);
        let mut start = as_server(self.programs.join("pg_ctl"));
        start.args(["-D", text(&data), "-l", text(&log), "-o", &port, "-w", "start"]);
        start.output().expect("pg_ctl").status.success()
    }

    /// The folder of its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into its data folder, for the server alone.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path("data").join(name);
        std::fs::write(&path, text).expect("a file of the server");
        give(&path);
    }

    /// Has the server read its settings, rules and certificates anew, and waits
    /// until it has.
    ///
    /// # Panics
    /// If `tester` may not log in without a password and without encryption.
    pub async fn reload(&self) {
        let loaded = "SELECT pg_conf_load_time()";
        let before = self.value(loaded).await;
        self.run("pg_ctl", &["-D", text(&self.path("data")), "reload"]);
        while self.value(loaded).await == before {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The URL by which its superuser comes to the database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://tester@127.0.0.1:{}/postgres", self.port)
    }

    /// The only value that a query gives, or what a statement needs no answer
    /// to.
    ///
    /// # Panics
    /// With what the database says, if it refuses.
    pub async fn value(&self, sql: &str) -> String {
        crate::database::first_value(&self.url(), sql).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &str, args: &[&str]) {
        let output = as_server(self.programs.join(program)).args(args).output().expect(program);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {said}");
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        let data = self.path("data");
        let mut stop = as_server(self.programs.join("pg_ctl"));
        let _ = stop.args(["-D", text(&data), "-m", "immediate", "-w", "stop"]).output();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// The newest PostgreSQL of Debian's packages.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's PostgreSQL");
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            path.join("bin/initdb").exists().then(|| (version, path.join("bin")))
        })
        .collect();
    found.sort();
    found.pop().expect("a PostgreSQL that can be started").1
}
