//! The session on which a lane's transactions run.

use std::time::Duration;

use kiln_core::Result;
use tokio_postgres::types::Type;

use super::fault::{no_session, of_server, session_over};
use super::server::Server;
use super::transaction::{LEAVE_LEDGER_OUT, Step, Transaction};
use super::wire::{Connection, Request};
use super::write::{How, Writer};

/// What every transaction of a lane begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    /// How long a statement may take.
    patience: Duration,
    leaves_ledger_out: bool,
    /// A pooler stands between, and may give each transaction to another
    /// session of the server's.
    pub(super) is_pooled: bool,
}

impl Beginning {
    /// A transaction that has begun.
    pub(super) fn transaction(self) -> Result<Transaction> {
        let mut transaction = Transaction::begin(self.patience.as_secs().max(1))?;
        if self.leaves_ledger_out {
            transaction.run(Step::Begin, LEAVE_LEDGER_OUT, &[])?;
        }
        Ok(transaction)
    }
}

impl Server {
    /// A session of a lane's own.
    ///
    /// # Errors
    /// As [`dial`](Self::dial), and if the server lets nobody in.
    pub(super) async fn session(&self) -> Result<(Connection, Beginning)> {
        let patience = self.patience();
        let (stream, login) = self.dial().await?;
        let leaves_ledger_out = login.user == "kiln";
        let started = Connection::start(stream, &login, patience).await;
        let mut connection = started.map_err(|e| no_session(&e).at(self.url()))?;
        let is_pooled = is_pooled(&mut connection).await?;
        Ok((connection, Beginning { patience, leaves_ledger_out, is_pooled }))
    }
}

/// Whether another process answers than the one that the session began with.
async fn is_pooled(connection: &mut Connection) -> Result<bool> {
    let mut request = Request::default();
    request.run("SELECT pg_catalog.pg_backend_pid()", &[]).map_err(|e| session_over(&e))?;
    connection.send(request.end()).await.map_err(|e| session_over(&e))?;
    let answers = connection.answers().await.map_err(|e| session_over(&e))?;
    if let Some(error) = answers.error {
        return Err(of_server(&error));
    }
    let row = answers.done.first().and_then(|answer| answer.rows.first());
    let process = row.and_then(|row| std::str::from_utf8(row.first()?.as_deref()?).ok());
    Ok(process.and_then(|process| process.parse().ok()) != connection.process)
}

/// Has the server look at a write before the first row comes.
///
/// # Errors
/// What the server finds wrong with it.
pub(super) async fn look_at(connection: &mut Connection, writer: &Writer) -> Result<()> {
    let types = match writer.how {
        How::Copy { .. } => Vec::new(),
        _ => vec![Type::TEXT_ARRAY; writer.columns.len()],
    };
    let mut request = Request::default();
    let over = |e| session_over(&e);
    request.look_at(writer.statement(), &types).map_err(over)?;
    connection.send(request.end()).await.map_err(over)?;
    match connection.answers().await.map_err(over)?.error {
        None => Ok(()),
        Some(error) => Err(of_server(&error).at(&writer.table)),
    }
}
