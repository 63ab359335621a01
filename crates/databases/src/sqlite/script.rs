//! Running a set-up script inside a transaction.

use kiln_core::{Fault, Kind, Result};
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::{Batch, Connection, Error};

use super::fault;
use crate::Script;

/// Runs a script in the transaction that the connection is in. `BEGIN` and
/// `COMMIT` in it are passed over: the whole script is one transaction.
///
/// # Errors
/// With the script's name and line: of [`Kind::Config`] where the script is
/// wrong, or as the database's state says.
pub(super) fn run(connection: &Connection, script: &Script) -> Result<()> {
    let mut batch = Batch::new(connection, &script.sql);
    let mut done = 0;
    loop {
        let statement =
            batch.next().map_err(|e| wrong(script, error_place(script, &e, done), e))?;
        let Some(mut statement) = statement else { return Ok(()) };
        let text = statement.expanded_sql().unwrap_or_default();
        let start = script.sql[done..].find(&text).map_or(done, |at| done + at);
        done = start + text.len();
        let start = start + (text.len() - behind_comments(&text).len());
        match first_word(&text).as_str() {
            "BEGIN" | "COMMIT" | "END" => continue,
            word @ ("ROLLBACK" | "ATTACH" | "DETACH" | "VACUUM") => {
                let line = line(script, start);
                return Err(Fault::config(format!("{}:{line}: {word} is no set-up", script.name))
                    .with_hint("the script runs in one transaction; leave the statement out"));
            }
            _ => {}
        }
        let mut rows = statement.raw_query();
        while rows.next().map_err(|e| wrong(script, Some(start), e))?.is_some() {}
    }
}

fn wrong(script: &Script, place: Option<usize>, error: Error) -> Fault {
    let place = match place {
        Some(place) => format!("{}:{}", script.name, line(script, place)),
        None => script.name.clone(),
    };
    let fault = fault::classify(error);
    match fault.kind() {
        // A row that a script inserts is no item.
        Kind::Item => {
            let code = fault.code().unwrap_or_default().to_owned();
            Fault::config(format!("{place}: {fault}")).with_code(code)
        }
        _ => fault.at(place),
    }
}

/// The byte of the script at which it can't be read.
fn error_place(script: &Script, error: &Error, done: usize) -> Option<usize> {
    match error {
        Error::SqlInputError { sql, offset, .. } => {
            let start = script.sql.len().checked_sub(sql.len())?;
            Some(start + usize::try_from(*offset).ok()?)
        }
        _ => {
            let rest = script.sql.get(done..)?;
            Some(script.sql.len() - behind_comments(rest).len())
        }
    }
}

fn line(script: &Script, place: usize) -> usize {
    let before = script.sql.as_bytes().get(..place).unwrap_or_default();
    1 + before.iter().filter(|b| **b == b'\n').count()
}

fn first_word(sql: &str) -> String {
    behind_comments(sql)
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// What follows the blanks, comments and empty statements at the start.
fn behind_comments(sql: &str) -> &str {
    let blank = |c: char| c.is_ascii_whitespace() || c == ';' || c == '\u{feff}';
    let mut rest = sql.trim_start_matches(blank);
    loop {
        let after = if let Some(comment) = rest.strip_prefix("--") {
            comment.find('\n').map(|end| &comment[end..])
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/").map(|end| &comment[end + 2..])
        } else {
            return rest;
        };
        rest = after.unwrap_or_default().trim_start_matches(blank);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_in_memory(sql: &str) -> (Connection, Result<()>) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("BEGIN").unwrap();
        let script = Script { name: "schema.sql".to_owned(), sql: sql.to_owned() };
        let result = run(&connection, &script);
        (connection, result)
    }

    #[test]
    fn a_script_never_ends_its_transaction() {
        let (connection, result) = run_in_memory(
            "-- a dump\nPRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a);\n\
             /* rows */ INSERT INTO t VALUES (1);;\n/* done */ COMMIT;\nSELECT * FROM t;\n-- end",
        );
        result.unwrap();
        assert!(!connection.is_autocommit());
        connection.execute_batch("ROLLBACK").unwrap();
        assert!(connection.prepare("SELECT * FROM t").is_err());
        for sql in ["ROLLBACK", "/* */ rollback;", "VACUUM", "ATTACH 'x.db' AS x"] {
            let (connection, result) = run_in_memory(sql);
            assert_eq!(result.unwrap_err().kind(), Kind::Config, "{sql}");
            assert!(!connection.is_autocommit(), "{sql}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        let cases = [
            ("CREATE TABLE t (a);\n\nCREATE TABEL u (a);", "schema.sql:3: "),
            ("CREATE TABLE t (a);\n-- again\nCREATE TABLE t (a);", "schema.sql:3: "),
            ("CREATE TABLE t (a NOT NULL);\n\n\nINSERT INTO t\nVALUES (NULL);", "schema.sql:4: "),
            ("\nINSERT INTO missing\nVALUES (NULL);", "schema.sql:2: "),
        ];
        for (sql, place) in cases {
            let fault = run_in_memory(sql).1.unwrap_err();
            assert_eq!(fault.kind(), Kind::Config, "{fault}");
            assert!(fault.message().starts_with(place), "{fault}");
        }
    }
}
