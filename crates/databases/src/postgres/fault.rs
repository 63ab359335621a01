//! What PostgreSQL's errors mean.

use std::error::Error as _;

use kiln_core::{Fault, Kind};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

/// The fault behind an error.
pub(super) fn fault(error: &Error) -> Fault {
    match error.as_db_error() {
        Some(db) => of_server(db),
        None if is_lost(error) => Fault::new(
            Kind::Unreachable,
            format!("the connection to PostgreSQL is lost: {}", plain(error)),
        )
        .with_hint("is the server still running? its log tells why it hung up"),
        None => Fault::bug(format!("a message to PostgreSQL went wrong: {}", plain(error))),
    }
}

/// The fault behind an error on a statement of kiln's own, whose data no item
/// answers for.
pub(super) fn own_fault(error: &Error) -> Fault {
    let fault = fault(error);
    if fault.kind() != Kind::Item {
        return fault;
    }
    Fault::bug(format!("the ledger refused what kiln keeps in it: {}", fault.message()))
        .with_code(fault.code().unwrap_or_default())
}

/// Whether the table or schema that a statement names is not there.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error.code().map(|c| c.code()), Some("42P01" | "3F000"))
}

/// Whether an answer to COMMIT leaves open what became of the transaction: an
/// error of the server's own means that it rolled back, unless the server was
/// going away.
pub(super) fn leaves_open(error: &Error) -> bool {
    let Some(db) = error.as_db_error() else { return true };
    let code = db.code().code();
    is_fatal(db) || code.starts_with("08") || code == "40003"
}

/// Whether the session is over after this error.
pub(super) fn ends_session(error: &Error) -> bool {
    match error.as_db_error() {
        Some(db) => is_fatal(db),
        None => is_lost(error),
    }
}

fn is_fatal(db: &DbError) -> bool {
    matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        || matches!(db.code().code(), "57P01" | "57P02" | "57P03" | "25P03" | "57P05")
}

fn is_lost(error: &Error) -> bool {
    error.is_closed()
        || error.source().is_some_and(|s| s.is::<std::io::Error>())
        || error.to_string().starts_with("timeout")
}

/// The error with its cause, on one line.
fn plain(error: &Error) -> String {
    match error.source() {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

/// The server's DETAIL holds data, and so does the error's own text: only the
/// message goes on.
fn of_server(db: &DbError) -> Fault {
    let code = db.code().code();
    let mut fault = Fault::new(class_kind(code), db.message()).with_code(code);
    if let Some(constraint) = db.constraint() {
        fault = fault.with_constraint(constraint);
    }
    if let Some(column) = db.column() {
        fault = fault.with_column(column);
    }
    match db.hint().or(own_hint(code)) {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    }
}

/// What an SQLSTATE calls for.
fn class_kind(code: &str) -> Kind {
    match code {
        // The text that kiln sends is not what the server expects.
        "22P04" | "25P02" => Kind::Bug,
        "40001" | "40P01" | "55P03" | "55006" | "57014" | "53300" => Kind::Busy,
        "40002" | "44000" => Kind::Item,
        // Two rows that a trigger, or the column's type, gave the same key.
        "21000" => Kind::Item,
        // A value too large for an index or a page, or nested too deep.
        "54000" | "54001" => Kind::Item,
        // Raised by a trigger or a function about the data.
        "P0001" | "P0002" | "P0003" | "P0004" => Kind::Item,
        "25P03" | "57P01" | "57P02" | "57P03" | "57P05" => Kind::Unreachable,
        "42501" | "25006" => Kind::NotPermitted,
        _ => match code.get(..2) {
            Some("22" | "23") => Kind::Item,
            Some("08") => Kind::Unreachable,
            Some("40") => Kind::Busy,
            Some("28") => Kind::NotPermitted,
            Some("53" | "58" | "XX") => Kind::Io,
            _ => Kind::Config,
        },
    }
}

fn own_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "25006" => "connect to the primary server, or to a user that may write",
        "42501" => "ask the table's owner to GRANT it to this user",
        "53100" => "make room on the server's disk, then run again",
        "28P01" | "28000" => {
            "look at user and password in the URL, and at the server's pg_hba.conf"
        }
        "3D000" => "create it with `createdb`, or name another one in the URL",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_system_are_never_an_items() {
        for code in [
            "42P01", "42703", "42804", "42501", "25006", "53100", "57014", "40001", "40P01",
            "08006", "57P01", "28P01", "3D000", "XX000", "0A000", "25P02", "22P04",
        ] {
            assert_ne!(class_kind(code), Kind::Item, "{code}");
        }
        for code in
            ["22003", "22P02", "22001", "23502", "23503", "23505", "23514", "P0001", "21000"]
        {
            assert_eq!(class_kind(code), Kind::Item, "{code}");
        }
    }
}
