//! A connection whose settings are kiln's, and the way to talk over it.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, InfileData, LocalInfileError, Params, Row};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::fault::DbError;

/// What a server's settings must not decide: how strict it is, what a time of
/// day means, how long to wait for a lock, in which language it complains. Notes
/// are warnings too: it is by them that the server tells of digits it dropped.
const SETTINGS: &str = "SET NAMES utf8mb4, \
     SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', \
     SESSION time_zone = '+00:00', \
     SESSION lc_messages = 'en_US', \
     SESSION sql_notes = 1, \
     SESSION max_error_count = 64, \
     SESSION foreign_key_checks = 1, \
     SESSION unique_checks = 1, \
     SESSION sql_safe_updates = 0, \
     SESSION sql_select_limit = DEFAULT, \
     SESSION autocommit = 1, \
     SESSION completion_type = 'NO_CHAIN', \
     SESSION innodb_lock_wait_timeout = 30, \
     SESSION lock_wait_timeout = 30";

/// A client that hangs must not hold its locks for ever.
const MARIADB_SETTINGS: &str =
    "SET SESSION idle_transaction_timeout = 60, SESSION check_constraint_checks = 1";

/// Each statement sees what is committed, and locks no gaps.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Warnings that tell of no changed value: a statement's form, how it is
/// replicated, a trigger's own words or empty look.
const ABOUT_NO_VALUE: [u16; 7] = [1287, 1681, 1592, 1642, 1643, 1329, 1050];

/// What is known of a server.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) is_mariadb: bool,
    pub(super) version: (u16, u16, u16),
    /// The longest statement in bytes.
    pub(super) packet: usize,
    /// Whether it takes `LOAD DATA LOCAL`.
    pub(super) local_infile: bool,
    /// The URL's database.
    pub(super) database: Option<String>,
}

impl Facts {
    /// Whether a failed statement of many rows tells which one it was.
    fn numbers_rows(&self) -> bool {
        self.is_mariadb && self.version >= (10, 7, 0)
    }

    /// Whether new rows are called by an alias where known ones are changed;
    /// else by `VALUES()`.
    pub(super) fn has_row_alias(&self) -> bool {
        !self.is_mariadb && self.version >= (8, 0, 19)
    }
}

/// What a statement did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Rows it found, made or removed.
    pub(super) rows: u64,
    warnings: u16,
}

impl Done {
    /// Whether it went without a warning.
    pub(super) fn is_clean(self) -> bool {
        self.warnings == 0
    }
}

/// A connection. Once it is lost, or an answer did not come in time, it says so
/// to every question.
pub(super) struct Session {
    conn: Conn,
    facts: Facts,
    patience: Duration,
    lost: bool,
}

impl Session {
    /// Makes a connection kiln's own.
    pub(super) async fn new(conn: Conn, patience: Duration) -> Result<Self, DbError> {
        let version = conn.server_version();
        let facts = Facts {
            is_mariadb: false,
            version,
            packet: 1 << 20,
            local_infile: false,
            database: None,
        };
        let mut session = Self { conn, facts, patience, lost: false };
        session.run(SETTINGS).await?;
        session.run(ISOLATION).await?;
        let sql = "SELECT VERSION(), @@max_allowed_packet, @@local_infile, DATABASE()";
        if let Some(row) = session.ask(sql).await?.first() {
            session.facts = Facts {
                is_mariadb: value::<String>(row, 0)?.contains("MariaDB"),
                version,
                packet: value(row, 1)?,
                local_infile: value(row, 2)?,
                database: value(row, 3)?,
            };
        }
        if session.facts.is_mariadb {
            session.run(MARIADB_SETTINGS).await?;
        }
        Ok(session)
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether there is no use in asking anything more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost || self.conn.is_disconnected()
    }

    /// Whether the server answers. That it hung up in the meantime is noticed only
    /// when it is spoken to.
    pub(super) async fn is_there(&mut self) -> bool {
        let Ok((patience, conn)) = self.speak() else { return false };
        let answer = timeout(patience, conn.ping()).await;
        self.heard(answer).is_ok()
    }

    /// Runs a statement that gives no rows.
    pub(super) async fn run(&mut self, sql: &str) -> Result<Done, DbError> {
        let (patience, conn) = self.speak()?;
        let answer = timeout(patience, conn.query_drop(sql)).await;
        self.heard(answer)?;
        Ok(self.done())
    }

    /// Runs a `LOAD DATA LOCAL` that gets this data.
    pub(super) async fn load(&mut self, sql: &str, data: InfileData) -> Result<Done, DbError> {
        // The driver wants a future that can be shared; nobody does.
        let data = std::sync::Mutex::new(Some(data));
        let (patience, conn) = self.speak()?;
        conn.set_infile_handler(async move {
            let data = data.lock().ok().and_then(|mut data| data.take());
            data.ok_or_else(|| LocalInfileError::NoHandler.into())
        });
        let answer = timeout(patience, conn.query_drop(sql)).await;
        self.heard(answer)?;
        Ok(self.done())
    }

    fn done(&self) -> Done {
        Done { rows: self.conn.affected_rows(), warnings: self.conn.get_warnings() }
    }

    /// The rows of a statement without parameters.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<Row>, DbError> {
        let (patience, conn) = self.speak()?;
        let answer = timeout(patience, conn.query(sql)).await;
        self.heard(answer)
    }

    /// Hands over the rows of a statement as they come, for as long as `take`
    /// wants more of them; those behind are passed over.
    pub(super) async fn each(
        &mut self,
        sql: &str,
        mut take: impl FnMut(&Row) -> bool + Send,
    ) -> Result<(), DbError> {
        let (patience, conn) = self.speak()?;
        let read = async {
            let mut rows = match timeout(patience, conn.query_stream::<Row, _>(sql)).await? {
                Ok(rows) => rows,
                Err(error) => return Ok(Err(error)),
            };
            let mut wanted = true;
            loop {
                match timeout(patience, rows.try_next()).await? {
                    Ok(Some(row)) => wanted = wanted && take(&row),
                    Ok(None) => return Ok(Ok(())),
                    Err(error) => return Ok(Err(error)),
                }
            }
        };
        let answer = read.await;
        self.heard(answer)
    }

    /// Runs a prepared statement; gives how many rows it found or made.
    pub(super) async fn change(
        &mut self,
        sql: &str,
        parameters: impl Into<Params>,
    ) -> Result<u64, DbError> {
        let parameters = parameters.into();
        let (patience, conn) = self.speak()?;
        let answer = timeout(patience, conn.exec_drop(sql, parameters)).await;
        self.heard(answer)?;
        Ok(self.conn.affected_rows())
    }

    /// The rows of a prepared statement.
    pub(super) async fn read(
        &mut self,
        sql: &str,
        parameters: impl Into<Params>,
    ) -> Result<Vec<Row>, DbError> {
        let parameters = parameters.into();
        let (patience, conn) = self.speak()?;
        let answer = timeout(patience, conn.exec(sql, parameters)).await;
        self.heard(answer)
    }

    /// Has the server look at a statement without doing it: names, types and
    /// permissions.
    pub(super) async fn look_at(&mut self, sql: &str) -> Result<(), DbError> {
        let (patience, conn) = self.speak()?;
        let answer = timeout(patience, conn.prep(sql)).await;
        let statement = self.heard(answer)?;
        let (patience, conn) = self.speak()?;
        let answer = timeout(patience, conn.close(statement)).await;
        self.heard(answer)
    }

    /// The row, counted from 1, of a statement of many rows that was refused
    /// just now, where that can be known.
    pub(super) async fn refused_row(&mut self, error: &DbError) -> Option<usize> {
        if error.row().is_some() || !self.facts.numbers_rows() || error.code().is_none() {
            return error.row();
        }
        self.run("GET DIAGNOSTICS CONDITION 1 @kiln_row = ROW_NUMBER").await.ok()?;
        let rows = self.ask("SELECT @kiln_row").await.ok()?;
        let row: Option<usize> = value(rows.first()?, 0).ok()?;
        row.filter(|row| *row > 0)
    }

    /// The first warning of the last statement that tells of a changed value.
    pub(super) async fn silent_change(&mut self, done: Done) -> Result<Option<DbError>, DbError> {
        if done.warnings == 0 {
            return Ok(None);
        }
        for row in self.ask("SHOW WARNINGS").await? {
            let code: u16 = value(&row, 1)?;
            if !ABOUT_NO_VALUE.contains(&code) {
                let message = value(&row, 2)?;
                return Ok(Some(DbError::Server { code, state: "01000".to_owned(), message }));
            }
        }
        Ok(None)
    }

    /// An answer that is not waited for to its end would be taken for the next
    /// one's: until it is there, the connection counts as lost.
    fn speak(&mut self) -> Result<(Duration, &mut Conn), DbError> {
        if self.lost {
            return Err(DbError::Lost("it was given up".to_owned()));
        }
        self.lost = true;
        Ok((self.patience, &mut self.conn))
    }

    fn heard<T>(
        &mut self,
        answer: Result<Result<T, mysql_async::Error>, Elapsed>,
    ) -> Result<T, DbError> {
        let answer = answer.map_err(|_| DbError::Silent(self.patience))?;
        let answer = answer.map_err(DbError::from);
        self.lost = matches!(answer, Err(DbError::Lost(_) | DbError::Driver(_)));
        answer
    }
}

/// The value in a column of a row.
pub(super) fn value<T: FromValue>(row: &Row, column: usize) -> Result<T, DbError> {
    match row.get_opt(column) {
        Some(Ok(value)) => Ok(value),
        _ => Err(DbError::Driver(format!("column {column} of an answer is not as expected"))),
    }
}
