//! Statements that a step runs as they are written.

use kiln_core::{Result, Rows};
use rusqlite::{Connection, Statement};

use super::session::at;
use crate::statements::{Words, no_item, texts};

/// All that can be taken back with its transaction, and touches this database only.
const STATEMENTS: Words = Words::AllBut(&[
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "DETACH",
    "END",
    "PRAGMA",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "VACUUM",
]);

/// Runs the statements of a unit.
pub(super) fn all(connection: &Connection, writes: &[Rows]) -> Result<()> {
    for rows in writes {
        for sql in texts(rows)? {
            one(connection, sql).map_err(no_item)?;
        }
    }
    Ok(())
}

fn one(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = look(connection, sql)?;
    let mut rows = statement.raw_query();
    while rows.next().map_err(at("the statement"))?.is_some() {}
    Ok(())
}

/// Reads a statement, and no more than one.
///
/// # Errors
/// What SQLite has against it.
pub(super) fn look<'a>(connection: &'a Connection, sql: &str) -> Result<Statement<'a>> {
    STATEMENTS.check(sql)?;
    connection.prepare(sql).map_err(at("the statement"))
}
