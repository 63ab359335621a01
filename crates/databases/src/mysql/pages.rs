//! Pages of a table's rows. Each is one statement, which sees what is committed
//! when it begins; with a snapshot one transaction holds them all.

use std::sync::Arc;

use arrow_schema::DataType;
use async_trait::async_trait;
use kiln_core::{Fault, Result};
use mysql_async::{Row, Value};

use super::fault::{DbError, fault};
use super::order::KeyKind;
use super::read_as::cell;
use super::server::Server;
use super::session::Session;
use crate::pages::{Page, Pages, Statement, Window, lost_snapshot, of_source};

/// What a session that reads has otherwise than one that writes. A value is
/// written in one way only, with its quotes doubled, and any date may be, as
/// some are in the table. Whoever takes what is read may take his time.
const SETTINGS: &str = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES,ALLOW_INVALID_DATES', \
     SESSION wait_timeout = 2147483";
const ONLY_READS: &str = "SET SESSION TRANSACTION READ ONLY";

/// The same for as long as a run takes. Its moment is kept beside the snapshot:
/// what is younger than that is not all in it.
const SNAPSHOT: [&str; 3] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET @kiln_now = NOW(6)",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
];
/// The moment of a snapshot.
pub(super) const SNAPSHOT_TIME: &str = "CAST(@kiln_now AS DATETIME(6))";
/// MariaDB ends transactions in which nothing happens for a while.
const MARIADB_SNAPSHOT: &str = "SET SESSION idle_transaction_timeout = 0";

/// The rows of a table, on a connection of its own.
pub(super) struct MysqlPages {
    server: Arc<Server>,
    /// With a snapshot: in the transaction that sees it.
    session: Option<Session>,
    statement: Statement,
    types: Vec<DataType>,
    order: Vec<KeyKind>,
    snapshot: bool,
}

impl MysqlPages {
    pub(super) fn new(
        server: Arc<Server>,
        statement: Statement,
        types: Vec<DataType>,
        order: Vec<KeyKind>,
        snapshot: bool,
    ) -> Self {
        Self { server, session: None, statement, types, order, snapshot }
    }

    async fn begin(&self) -> Result<Session> {
        let mut session = self.server.connect().await?;
        set_to_read(&mut session).await.map_err(|e| fault(&e))?;
        if self.snapshot {
            let is_mariadb = session.facts().is_mariadb;
            for sql in is_mariadb.then_some(MARIADB_SNAPSHOT).into_iter().chain(SNAPSHOT) {
                session.run(sql).await.map_err(|e| fault(&e))?;
            }
        }
        Ok(session)
    }

    async fn fill(&self, session: &mut Session, sql: &str, mut page: Page) -> Result<Page> {
        let mut pushed = Ok(());
        let take = |row: &Row| {
            pushed = self.push(row, &mut page);
            pushed.is_ok() && !page.is_full()
        };
        session.each(sql, take).await.map_err(|e| fault(&e))?;
        pushed.map(|()| page)
    }

    fn push(&self, row: &Row, page: &mut Page) -> Result<()> {
        let value = |i: usize| row.as_ref(i).unwrap_or(&Value::NULL);
        let cells: Vec<_> = self.types.iter().zip(0..).map(|(t, i)| cell(value(i), t)).collect();
        let key = self.order.iter().zip(self.types.len()..);
        page.push(key.map(|(kind, i)| kind.read(row.as_ref(i))).collect::<Result<_>>()?, &cells)
    }
}

/// Makes a session one that only reads.
pub(super) async fn set_to_read(session: &mut Session) -> Result<(), DbError> {
    session.run(SETTINGS).await?;
    session.run(ONLY_READS).await.map(drop)
}

#[async_trait]
impl Pages for MysqlPages {
    async fn read(&mut self, window: &Window, page: Page) -> Result<Page> {
        let sql = self.statement.sql(window, |column, value| match self.order.get(column) {
            Some(kind) => kind.literal(value),
            None => Err(Fault::bug("a key of too many values")),
        })?;
        let (mut session, began) = match self.session.take() {
            Some(session) if self.snapshot || !session.is_lost() => (session, true),
            _ => (self.begin().await?, false),
        };
        match self.fill(&mut session, &sql, page).await {
            Ok(page) => {
                self.session = Some(session);
                Ok(page)
            }
            Err(fault) if began && self.snapshot => Err(lost_snapshot(of_source(fault))),
            Err(fault) => Err(of_source(fault)),
        }
    }

    fn another(&self) -> Self {
        let (server, statement) = (Arc::clone(&self.server), self.statement.clone());
        Self::new(server, statement, self.types.clone(), self.order.clone(), self.snapshot)
    }

    fn of_keys(&self) -> Self {
        let (server, statement) = (Arc::clone(&self.server), self.statement.of_keys());
        Self::new(server, statement, Vec::new(), self.order.clone(), false)
    }

    /// There is no way to it; a table that is opened so is refused.
    async fn agree(readers: &mut [Self]) -> Result<()> {
        match readers {
            [first, _, ..] if first.snapshot => {
                Err(Fault::config("a run that was begun in ranges can't go on by a snapshot")
                    .with_hint("leave snapshot out, or start a new run with --again"))
            }
            _ => Ok(()),
        }
    }
}
