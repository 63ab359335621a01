//! Databases that are gone when the test ends, asked by plain SQL.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rusqlite::types::ValueRef;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A row of a table: each value as the database writes it, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// A fresh database. Dropping it removes it.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its URL, as kiln reads it.
    pub url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Sqlite(TempDir),
    Postgres { server: String, name: String },
    Mysql { server: String, name: String },
}

/// A fresh SQLite database: the path of a file that is not there yet.
pub fn sqlite() -> TestDatabase {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    TestDatabase { url, place: Place::Sqlite(folder) }
}

/// The URL of the server that a variable names, and the name of a database that
/// nobody else of this process uses.
fn server_and_name(variable: &str) -> (String, String) {
    let server = std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} names no server: run the tests by ./test, which starts one")
    });
    (server, fresh_name())
}

fn fresh_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    format!("kiln_test_{}_{made}", std::process::id())
}

/// The URL of another database on the same server.
fn url_of(server: &str, name: &str) -> String {
    let (before, parameters) = server.split_once('?').unwrap_or((server, ""));
    let (address, _) = before.rsplit_once('/').expect("a URL with the name of a database");
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!("{address}/{name}{mark}{parameters}")
}

/// A fresh database on the server that `KILN_TEST_MYSQL` names.
///
/// # Panics
/// If there is no such server.
pub async fn mysql() -> TestDatabase {
    let (server, name) = server_and_name("KILN_TEST_MYSQL");
    make_mysql(server, name).await
}

/// A fresh database on a server.
pub(crate) async fn mysql_at(server: &str) -> TestDatabase {
    make_mysql(server.to_owned(), fresh_name()).await
}

async fn make_mysql(server: String, name: String) -> TestDatabase {
    // One that was left by a process of the same number is in the way.
    let made =
        format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4");
    query_mysql(&server, &made).await;
    TestDatabase { url: url_of(&server, &name), place: Place::Mysql { server, name } }
}

/// A fresh database on the server that `KILN_TEST_POSTGRES` names.
///
/// # Panics
/// If there is no such server.
pub async fn postgres() -> TestDatabase {
    let (server, name) = server_and_name("KILN_TEST_POSTGRES");
    make_postgres(server, name).await
}

/// A fresh database on a server.
pub(crate) async fn postgres_at(server: &str) -> TestDatabase {
    make_postgres(server.to_owned(), fresh_name()).await
}

async fn make_postgres(server: String, name: String) -> TestDatabase {
    let client = connect(&server).await;
    // One that was left by a process of the same number is in the way.
    for sql in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name} TEMPLATE template0"),
    ] {
        client.batch_execute(&sql).await.expect("a fresh database");
    }
    TestDatabase { url: url_of(&server, &name), place: Place::Postgres { server, name } }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.unwrap_or_else(|e| panic!("{url}: {e}"));
    tokio::spawn(connection);
    client
}

impl TestDatabase {
    /// The rows that a query gives.
    ///
    /// # Panics
    /// With what the database says, if it refuses.
    pub async fn query(&self, sql: &str) -> Vec<Row> {
        match &self.place {
            Place::Sqlite(folder) => query_sqlite(folder, sql),
            Place::Postgres { .. } => query_postgres(&self.url, sql).await,
            Place::Mysql { .. } => query_mysql(&self.url, sql).await,
        }
    }

    /// The only value of the only row that a query gives.
    ///
    /// # Panics
    /// As [`query`](Self::query), and if it is not one value.
    pub async fn value(&self, sql: &str) -> String {
        let mut rows = self.query(sql).await;
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql} gives {rows:?}");
        rows.remove(0).remove(0).unwrap_or_else(|| "NULL".to_owned())
    }

    /// Runs statements that give nothing.
    ///
    /// # Panics
    /// With what the database says, if it refuses.
    pub async fn execute(&self, sql: &str) {
        match &self.place {
            Place::Sqlite(folder) => {
                open_sqlite(folder).execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            }
            Place::Postgres { .. } => {
                let client = connect(&self.url).await;
                client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            }
            Place::Mysql { .. } => drop(query_mysql(&self.url, sql).await),
        }
    }
}

fn open_sqlite(folder: &TempDir) -> rusqlite::Connection {
    let path = folder.path().join("test.db");
    let connection =
        rusqlite::Connection::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    connection.busy_timeout(Duration::from_secs(30)).expect("a time-out");
    connection
}

fn query_sqlite(folder: &TempDir, sql: &str) -> Vec<Row> {
    let connection = open_sqlite(folder);
    let mut statement = connection.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Row> {
        (0..columns).map(|i| row.get_ref(i).map(text)).collect()
    };
    let rows = statement.query_map([], row).unwrap_or_else(|e| panic!("{sql}: {e}"));
    rows.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(i) => Some(i.to_string()),
        ValueRef::Real(x) => Some(x.to_string()),
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Some(bytes.iter().map(|b| format!("{b:02x}")).collect()),
    }
}

async fn query_postgres(url: &str, sql: &str) -> Vec<Row> {
    let client = connect(url).await;
    let answers = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let row = |answer| match answer {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
        }
        _ => None,
    };
    answers.into_iter().filter_map(row).collect()
}

/// The first value of the first row that a query gives, or nothing.
pub(crate) async fn first_value(url: &str, sql: &str) -> String {
    let row = query_postgres(url, sql).await.into_iter().next();
    row.and_then(|row| row.into_iter().next().flatten()).unwrap_or_default()
}

/// The rows of the first of some statements that gives any. Nothing of a time
/// depends on where the server stands.
async fn query_mysql(url: &str, sql: &str) -> Vec<Row> {
    let mut conn = connect_mysql(url).await.unwrap_or_else(|e| panic!("{url}: {e}"));
    let rows = ask_mysql(&mut conn, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let _ = conn.disconnect().await;
    rows
}

async fn connect_mysql(url: &str) -> mysql_async::Result<mysql_async::Conn> {
    let options = mysql_async::Opts::from_url(url)?;
    let options = mysql_async::OptsBuilder::from_opts(options).prefer_socket(false);
    let mut conn = mysql_async::Conn::new(options).await?;
    conn.query_drop("SET time_zone = '+00:00'").await?;
    Ok(conn)
}

async fn ask_mysql(conn: &mut mysql_async::Conn, sql: &str) -> mysql_async::Result<Vec<Row>> {
    let mut answer = conn.query_iter(sql).await?;
    let mut found = Vec::new();
    while !answer.is_empty() {
        let rows: Vec<mysql_async::Row> = answer.collect().await?;
        if found.is_empty() {
            found = rows.into_iter().map(mysql_row).collect();
        }
    }
    // What a later statement was refused for comes last.
    answer.drop_result().await?;
    Ok(found)
}

fn mysql_row(row: mysql_async::Row) -> Row {
    let text = |value| match value {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => panic!("{other:?} is no text"),
    };
    row.unwrap().into_iter().map(text).collect()
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let place = match &self.place {
            Place::Sqlite(_) => return,
            Place::Postgres { server, name } => (server.clone(), name.clone(), true),
            Place::Mysql { server, name } => (server.clone(), name.clone(), false),
        };
        // A runtime can't be entered from within another, so it gets a thread.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                match place {
                    (server, name, true) => drop_postgres(&server, &name).await,
                    (server, name, false) => drop_mysql(&server, &name).await,
                }
            })
        });
        // A server that is gone took the database with it.
        let _ = dropped.join();
    }
}

async fn drop_postgres(server: &str, name: &str) -> std::io::Result<()> {
    let (client, connection) =
        tokio_postgres::connect(server, NoTls).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    client.batch_execute(&sql).await.map_err(std::io::Error::other)
}

async fn drop_mysql(server: &str, name: &str) -> std::io::Result<()> {
    let mut conn = connect_mysql(server).await.map_err(std::io::Error::other)?;
    // A transaction that a test left behind would keep its tables.
    let sql = format!("SET lock_wait_timeout = 5; DROP DATABASE IF EXISTS {name}");
    ask_mysql(&mut conn, &sql).await.map_err(std::io::Error::other)?;
    conn.disconnect().await.map_err(std::io::Error::other)
}
