//! A unit's transaction on its way to the server, statement by statement.

use kiln_core::{Result, is_to_crash};

use super::encode::CopyRows;
use super::fault::session_over;
use super::wire::{Parameter, Request};

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The mark moves only where it is told that the transaction has begun: what a
/// pooler would carry to another session in the middle is not committed there.
/// Texts of times mean what kiln means by them. A client that hangs must not
/// hold its locks for ever, nor one whose host is gone; and no statement takes
/// for ever, unless its user says how long one may take.
const SETTINGS: &str = "\
SELECT pg_catalog.set_config(name, value, true) FROM (VALUES
    ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'),
    ('bytea_output', 'hex'), ('client_min_messages', 'error'),
    ('kiln.transaction', 'begun'), ('idle_in_transaction_session_timeout', '60s'),
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'),
    ('tcp_keepalives_count', '3'),
    ('statement_timeout', CASE pg_catalog.current_setting('statement_timeout')
                          WHEN '0' THEN $1 ELSE pg_catalog.current_setting('statement_timeout') END)
) AS s (name, value)";

/// PostgreSQL looks first for a schema that is called like the user; for a user
/// called like the ledger's that would be the ledger: the job's tables would be
/// found in one place before the ledger is made and in another after. For one
/// transaction only: behind a pooler the next may be another session's.
pub(super) const LEAVE_LEDGER_OUT: &str = "\
SELECT pg_catalog.set_config('search_path', coalesce(
    (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s), ', ' ORDER BY n)
     FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u (s, n)
     WHERE s <> 'kiln'), ''), true)";

/// What a statement is there for: whose fault its failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Begin,
    /// The rows of the write with this number.
    Write(usize),
    DeadLetters,
    /// What is kept of dead letters of another run.
    Redriven,
    Rules,
    Mark,
    Commit,
}

/// The statements of a transaction, or of a part of it, with what each is for.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    request: Request,
    steps: Vec<Step>,
    /// Places at which a test may end the process, by the bytes before them.
    points: Vec<(usize, &'static str)>,
}

impl Transaction {
    /// The beginning; no statement may take longer than `patience` seconds.
    pub(super) fn begin(patience: u64) -> Result<Self> {
        let mut transaction = Self::default();
        transaction.run(Step::Begin, BEGIN, &[])?;
        let patience = Parameter::text(&format!("{patience}s"));
        transaction.run(Step::Begin, SETTINGS, &[patience])?;
        Ok(transaction)
    }

    /// Adds a statement.
    pub(super) fn run(&mut self, step: Step, sql: &str, parameters: &[Parameter]) -> Result<()> {
        self.request.run(sql, parameters).map_err(|e| session_over(&e))?;
        self.steps.push(step);
        Ok(())
    }

    /// Adds a `COPY` with its rows; `half` of them are a crash point.
    pub(super) fn copy(
        &mut self,
        step: Step,
        sql: &str,
        rows: &CopyRows,
        point: Option<&'static str>,
    ) -> Result<()> {
        self.run(step, sql, &[])?;
        let (first, rest) = rows.messages.split_at(rows.half);
        self.request.copy(first);
        if let Some(point) = point {
            self.point(point);
        }
        self.request.copy(rest);
        self.request.end_copy();
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        self.run(Step::Commit, "COMMIT", &[])
    }

    /// A place at which a test may end the process.
    pub(super) fn point(&mut self, name: &'static str) {
        if is_to_crash() {
            self.points.push((self.request.len(), name));
        }
    }

    /// What to send, what each statement of it is for, and where the process
    /// may end.
    pub(super) fn end(self) -> (bytes::BytesMut, Vec<Step>, Vec<(usize, &'static str)>) {
        (self.request.end(), self.steps, self.points)
    }
}
