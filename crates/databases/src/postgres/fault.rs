//! What PostgreSQL's errors mean.

use std::error::Error as _;

use kiln_core::{Fault, Kind, Landed};
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use super::wire::{self, ServerError};

/// The fault behind an error.
pub(super) fn fault(error: &Error) -> Fault {
    match error.as_db_error() {
        Some(db) => of_server(&db.into()),
        None if is_lost(error) => lost(&plain(error)),
        None => Fault::bug(format!("a message to PostgreSQL went wrong: {}", plain(error))),
    }
}

/// The fault behind an error on a statement of kiln's own, whose data no item
/// answers for.
pub(super) fn own_fault(error: &Error) -> Fault {
    no_items(fault(error))
}

/// A fault on a statement of kiln's own.
pub(super) fn no_items(fault: Fault) -> Fault {
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
pub(super) fn leaves_open(error: &ServerError) -> bool {
    error.is_fatal() || error.code.starts_with("08") || error.code == "40003"
}

/// The fault of a session that is over: what it was asked last may be done or
/// not. Whoever asks again learns what is the matter for good.
pub(super) fn session_over(error: &wire::Error) -> Fault {
    let fault = match error {
        wire::Error::Server(error) => of_server(error),
        wire::Error::Lost(error) => lost(&error.to_string()),
        wire::Error::Silent(patience) => Fault::new(
            Kind::Unreachable,
            format!("PostgreSQL says nothing for {} s: taken for gone", patience.as_secs()),
        )
        .with_hint("answer_timeout=SECONDS in the URL says how long a statement may take"),
        wire::Error::Login(why) => return login(why),
        wire::Error::Protocol(what) => {
            return Fault::bug(format!("a message to or from PostgreSQL makes no sense: {what}"))
                .with_landed(Landed::Unknown);
        }
    };
    fault.with_landed(Landed::Unknown).transient(true)
}

/// The fault of a session that could not begin.
pub(super) fn no_session(error: &wire::Error) -> Fault {
    match error {
        wire::Error::Server(error) => of_server(error),
        wire::Error::Login(why) => login(why),
        _ => session_over(error).with_landed(Landed::No),
    }
}

fn login(why: &str) -> Fault {
    Fault::new(Kind::NotPermitted, format!("PostgreSQL can't be logged in to: {why}"))
        .with_hint("look at user and password in the URL")
}

fn lost(why: &str) -> Fault {
    Fault::new(Kind::Unreachable, format!("the connection to PostgreSQL is lost: {why}"))
        .with_hint("is the server still running? its log tells why it hung up")
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

impl From<&DbError> for ServerError {
    fn from(db: &DbError) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            severity: db.severity().to_owned(),
            code: db.code().code().to_owned(),
            message: db.message().to_owned(),
            hint: owned(db.hint()),
            context: owned(db.where_()),
            column: owned(db.column()),
            constraint: owned(db.constraint()),
        }
    }
}

/// The fault behind an error of the server's. Its DETAIL holds data, and so does
/// the error's own text: only the message goes on.
pub(super) fn of_server(error: &ServerError) -> Fault {
    let ServerError { code, message, hint, column, constraint, .. } = error;
    let mut fault = Fault::new(class_kind(code), message).with_code(code);
    if let Some(constraint) = constraint {
        fault = fault.with_constraint(constraint);
    }
    if let Some(column) = column {
        fault = fault.with_column(column);
    }
    match hint.as_deref().or(own_hint(code)) {
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
