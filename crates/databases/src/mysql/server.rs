//! The way to a server: connections and the set-up script.

use std::sync::Arc;

use kiln_core::{Fault, Kind, Result, TableName};
use mysql_async::{Conn, DriverError, Error};
use tokio::sync::Mutex;

use super::fault::{DbError, fault};
use super::rehearse::Rehearsal;
use super::script::{script_fault, statements};
use super::session::{Session, value};
use super::table::Table;
use super::tls::TlsMode;
use super::url::Address;
use crate::database::Script;

/// A database on a server.
pub(super) struct Server {
    address: Address,
    script: Option<Script>,
    set_up: Mutex<SetUp>,
}

/// How far the set-up script has come.
enum SetUp {
    NotRun,
    /// It was tried elsewhere; what it would make is known.
    Rehearsed(Arc<Rehearsal>),
    Done,
}

impl Server {
    pub(super) fn new(url: &str, script: Option<Script>) -> Result<Self> {
        Ok(Self { address: Address::parse(url)?, script, set_up: Mutex::new(SetUp::NotRun) })
    }

    /// The URL without what is secret.
    pub(super) fn url(&self) -> &str {
        &self.address.shown
    }

    /// The set-up script's name.
    pub(super) fn script(&self) -> Option<&str> {
        self.script.as_ref().map(|s| s.name.as_str())
    }

    /// A new connection to the URL's database.
    pub(super) async fn connect(&self) -> Result<Session> {
        let session = self.try_connect(self.address.tls).await;
        let session = match session {
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer))
                if self.address.tls == TlsMode::Preferred =>
            {
                self.try_connect(TlsMode::Disabled).await
            }
            other => other,
        };
        let conn = session.map_err(|e| self.no_connection(e))?;
        let session = Session::new(conn, self.address.patience).await;
        let session = session.map_err(|e| fault(&e).at(self.url()))?;
        if session.facts().database.is_none() {
            return Err(Fault::config(format!("{} names no database", self.url()))
                .with_hint("write it as mysql://user:password@host:3306/database"));
        }
        Ok(session)
    }

    async fn try_connect(&self, tls: TlsMode) -> Result<Conn, Error> {
        let options = self.address.options();
        let options = options.ssl_opts(tls.options(self.address.authorities.as_deref()));
        let patience = self.address.connect_patience;
        match tokio::time::timeout(patience, Conn::new(options)).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("it does not answer for {} seconds", patience.as_secs()),
            )
            .into()),
        }
    }

    fn no_connection(&self, error: Error) -> Fault {
        let why = match error {
            Error::Server(_) => return fault(&DbError::from(error)).at(self.url()),
            Error::Io(mysql_async::IoError::Tls(tls)) => return self.not_trusted(&tls),
            // What is wrong with a certificate comes as bad data.
            Error::Io(mysql_async::IoError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                return self.not_trusted(&error);
            }
            Error::Driver(DriverError::NoClientSslFlagFromServer) => {
                return Fault::config(format!(
                    "{}: the server takes no encrypted connection, and the URL asks for one \
                     or names another host",
                    self.url()
                ))
                .with_hint("add ssl-mode=disabled to the URL if plain text is what you want");
            }
            Error::Io(mysql_async::IoError::Io(error)) => error.to_string(),
            other => other.to_string(),
        };
        let place = self.address.place();
        Fault::new(Kind::Unreachable, format!("no connection to the server at {place}: {why}"))
            .with_hint("is the server running, and are host and port in the URL right?")
    }

    fn not_trusted(&self, why: &dyn std::fmt::Display) -> Fault {
        let message = format!("{}: the server is not trusted: {why}", self.url());
        Fault::new(Kind::NotPermitted, message)
            .with_hint("name the authority of its certificate by ssl-ca=FILE in the URL")
    }

    /// Runs the set-up script for good, unless it has run. Statements that make
    /// tables commit by themselves: what ran before one that fails stays.
    pub(super) async fn set_up(&self) -> Result<()> {
        let mut state = self.set_up.lock().await;
        if let (Some(script), false) = (&self.script, matches!(*state, SetUp::Done)) {
            let mut session = self.connect().await?;
            lock(&mut session, "set-up").await?;
            for statement in statements(&script.sql) {
                let ran = session.run(statement.sql).await;
                ran.map_err(|e| script_fault(script, &statement, &e))?;
            }
        }
        *state = SetUp::Done;
        Ok(())
    }

    /// The tables of these names as they are, or as they would be after the
    /// set-up script.
    pub(super) async fn tables(
        &self,
        session: &mut Session,
        names: &[&TableName],
    ) -> Result<Vec<Result<Option<Table>>>> {
        let rehearsal = self.rehearsal(session).await?;
        let mut tables = Vec::with_capacity(names.len());
        for name in names {
            let known = rehearsal.as_ref().and_then(|r| r.table(name));
            tables.push(match known {
                Some(table) => Ok(Some(table.clone())),
                None => match Table::find(session, name).await {
                    Err(fault) if fault.kind() != Kind::Config => return Err(fault),
                    found => found,
                },
            });
        }
        Ok(tables)
    }

    /// What the set-up script would make; `None` where it has run or there is
    /// none.
    pub(super) async fn rehearsal(&self, session: &mut Session) -> Result<Option<Arc<Rehearsal>>> {
        let mut state = self.set_up.lock().await;
        match (&self.script, &*state) {
            (None, _) | (_, SetUp::Done) => Ok(None),
            (_, SetUp::Rehearsed(rehearsal)) => Ok(Some(Arc::clone(rehearsal))),
            (Some(script), SetUp::NotRun) => {
                let rehearsal = Arc::new(Rehearsal::of(session, script).await?);
                *state = SetUp::Rehearsed(Arc::clone(&rehearsal));
                Ok(Some(rehearsal))
            }
        }
    }
}

/// Two that change the same database's tables follow each other. The lock ends
/// with the session, if not before; and a client that hangs has no session for
/// long.
pub(super) async fn lock(session: &mut Session, what: &str) -> Result<()> {
    session.run("SET SESSION wait_timeout = 60").await.map_err(|e| fault(&e))?;
    let sql = format!("SELECT GET_LOCK({}, 30)", lock_name(what));
    let rows = session.ask(&sql).await.map_err(|e| fault(&e))?;
    let got = rows.first().map(|row| value::<Option<i64>>(row, 0)).transpose();
    match got.map_err(|e| fault(&e))?.flatten() {
        Some(1) => Ok(()),
        _ => Err(Fault::new(Kind::Busy, format!("somebody else is busy with the {what}"))),
    }
}

/// Ends a lock.
pub(super) async fn unlock(session: &mut Session, what: &str) -> Result<()> {
    let sql = format!("DO RELEASE_LOCK({})", lock_name(what));
    session.run(&sql).await.map(drop).map_err(|e| fault(&e))
}

/// Locks are the server's, and their names short.
fn lock_name(what: &str) -> String {
    format!("CONCAT('kiln {what} ', LEFT(SHA2(DATABASE(), 256), 40))")
}
