//! pgbouncer in front of a server: each transaction may be in another session.

use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::account::{as_server, free_port, give};

/// How many sessions with the server it keeps for one user of one database.
const SESSIONS: u32 = 4;

/// A pooler in transaction mode that is gone when the test ends. It lets in
/// everybody that the server knows as `tester` or `kiln`.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    /// Starts pgbouncer before the server of this URL. Sessions take turns, so
    /// that nobody keeps one.
    ///
    /// # Panics
    /// If pgbouncer is not there or does not start.
    pub fn start(server: &str) -> Self {
        let config: Config = server.parse().expect("the server's URL");
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => "127.0.0.1".to_owned(),
        };
        let server_port = config.get_ports().first().copied().unwrap_or(5432);
        let folder = tempfile::tempdir().expect("a temporary folder");
        give(folder.path());
        let path = |name: &str| folder.path().join(name);
        let (port, users, log) = (free_port(), path("users.txt"), path("log"));
        let settings = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\nlogfile = {}\n\
             pool_mode = transaction\ndefault_pool_size = {SESSIONS}\nserver_round_robin = 1\n\
             max_client_conn = 500\n",
            users.display(),
            log.display()
        );
        for (path, text) in
            [(&users, "\"tester\" \"\"\n\"kiln\" \"\"\n"), (&path("ini"), &settings)]
        {
            std::fs::write(path, text).expect("a file of pgbouncer's");
            give(path);
        }
        let mut start = as_server("/usr/sbin/pgbouncer");
        start.arg("-q").arg(path("ini")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = start.spawn().expect("pgbouncer: run the tests by ./test, which installs it");
        let pooler = Self { child, port, _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(30), "no pgbouncer: {}", said());
            std::thread::sleep(Duration::from_millis(5));
        }
        pooler
    }

    /// The URL of a database of the server's, through the pooler. All sessions
    /// of its pool are there already, and take turns from the first transaction
    /// on.
    ///
    /// # Panics
    /// If the URL names no user or no database, or the server refuses them.
    pub async fn url(&self, direct: &str) -> String {
        let config: Config = direct.parse().expect("the database's URL");
        let (user, database) = (config.get_user(), config.get_dbname());
        let (user, database) = (user.expect("a user"), database.expect("a database"));
        let url = format!("postgres://{user}@127.0.0.1:{}/{database}", self.port);
        // As many transactions at once, each of which needs a session.
        let mut clients = Vec::new();
        for _ in 0..SESSIONS {
            let client = crate::database::connect(&url).await;
            client.batch_execute("BEGIN").await.expect("a transaction");
            clients.push(client);
        }
        for client in clients {
            client.batch_execute("COMMIT").await.expect("its end");
        }
        url
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
