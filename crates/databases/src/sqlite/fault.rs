//! What an error of SQLite means.

use kiln_core::{Fault, Kind};
use rusqlite::ErrorCode as E;
use rusqlite::ffi;

/// The fault of an error: its kind, code, and the constraint and column that
/// SQLite names. SQLite's messages hold names, never data.
pub(super) fn classify(error: rusqlite::Error) -> Fault {
    let (code, message) = match &error {
        rusqlite::Error::SqliteFailure(code, message) => (*code, message.clone()),
        rusqlite::Error::SqlInputError { error, msg, .. } => (*error, Some(msg.clone())),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => {
            return Fault::config(format!("a value is not what kiln put there: {error}"))
                .caused_by(error);
        }
        _ => return Fault::bug(format!("SQLite was used wrongly: {error}")).caused_by(error),
    };
    let message = message.unwrap_or_else(|| code.to_string());
    let mut fault = Fault::new(kind(code.code), readable(code.extended_code, &message))
        .with_code(code_name(code));
    if let Some(hint) = hint(code.code) {
        fault = fault.with_hint(hint);
    }
    let (constraint, column) = names(code.extended_code, &message);
    if let Some(constraint) = constraint {
        fault = fault.with_constraint(constraint);
    }
    if let Some(column) = column {
        fault = fault.with_column(column);
    }
    fault.caused_by(error)
}

fn kind(code: E) -> Kind {
    match code {
        E::ConstraintViolation | E::TooBig | E::TypeMismatch => Kind::Item,
        E::DatabaseBusy | E::DatabaseLocked | E::FileLockingProtocolFailed => Kind::Busy,
        E::ReadOnly
        | E::PermissionDenied
        | E::AuthorizationForStatementDenied
        // The file itself was opened: what can't be is its journal.
        | E::CannotOpen => Kind::NotPermitted,
        E::DiskFull
        | E::SystemIoFailure
        | E::OutOfMemory
        | E::DatabaseCorrupt
        | E::NoLargeFileSupport => Kind::Io,
        E::InternalMalfunction | E::ApiMisuse | E::ParameterOutOfRange => Kind::Bug,
        _ => Kind::Config,
    }
}

fn hint(code: E) -> Option<&'static str> {
    Some(match code {
        E::DiskFull => "free some space, then run the job again: it goes on where it stopped",
        E::ReadOnly | E::CannotOpen | E::PermissionDenied => {
            "the file and its folder must be writable: SQLite keeps a journal beside the file"
        }
        E::DatabaseCorrupt => "look with sqlite3 FILE 'PRAGMA integrity_check'",
        _ => return None,
    })
}

fn readable(extended: i32, message: &str) -> String {
    match extended {
        ffi::SQLITE_CONSTRAINT_FUNCTION => {
            "the sum leaves the range of its column, or what is there is no number".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// The constraint and the column that a message names.
fn names(extended: i32, message: &str) -> (Option<&str>, Option<&str>) {
    let subject = || message.split_once("constraint failed: ").map(|(_, names)| names);
    match extended {
        ffi::SQLITE_CONSTRAINT_CHECK => (subject(), None),
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
            (subject(), subject().filter(|names| !names.contains(", ")).and_then(behind_table))
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => (None, subject().and_then(behind_table)),
        ffi::SQLITE_CONSTRAINT_DATATYPE => {
            (None, message.split_once(" column ").and_then(|(_, name)| behind_table(name)))
        }
        _ => (None, None),
    }
}

/// The column of `table.column`.
fn behind_table(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, column)| column)
}

fn code_name(code: ffi::Error) -> String {
    let extended = match code.extended_code {
        ffi::SQLITE_CONSTRAINT_CHECK => "CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_FUNCTION => "CONSTRAINT_FUNCTION",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "CONSTRAINT_UNIQUE",
        _ => primary_name(code.code),
    };
    format!("SQLITE_{extended}")
}

fn primary_name(code: E) -> &'static str {
    match code {
        E::ConstraintViolation => "CONSTRAINT",
        E::TooBig => "TOOBIG",
        E::TypeMismatch => "MISMATCH",
        E::DatabaseBusy => "BUSY",
        E::DatabaseLocked => "LOCKED",
        E::FileLockingProtocolFailed => "PROTOCOL",
        E::ReadOnly => "READONLY",
        E::PermissionDenied => "PERM",
        E::AuthorizationForStatementDenied => "AUTH",
        E::CannotOpen => "CANTOPEN",
        E::DiskFull => "FULL",
        E::SystemIoFailure => "IOERR",
        E::OutOfMemory => "NOMEM",
        E::DatabaseCorrupt => "CORRUPT",
        E::NotADatabase => "NOTADB",
        E::NoLargeFileSupport => "NOLFS",
        E::InternalMalfunction => "INTERNAL",
        E::ApiMisuse => "MISUSE",
        E::ParameterOutOfRange => "RANGE",
        E::SchemaChanged => "SCHEMA",
        E::OperationAborted => "ABORT",
        E::OperationInterrupted => "INTERRUPT",
        _ => "ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32, message: &str) -> Fault {
        classify(rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message.to_owned())))
    }

    #[test]
    fn only_data_is_an_items_fault() {
        let cases = [
            (ffi::SQLITE_CONSTRAINT_CHECK, Kind::Item, false),
            (ffi::SQLITE_MISMATCH, Kind::Item, false),
            (ffi::SQLITE_TOOBIG, Kind::Item, false),
            (ffi::SQLITE_BUSY, Kind::Busy, true),
            (ffi::SQLITE_LOCKED, Kind::Busy, true),
            (ffi::SQLITE_FULL, Kind::Io, false),
            (ffi::SQLITE_IOERR, Kind::Io, false),
            (ffi::SQLITE_READONLY, Kind::NotPermitted, false),
            (ffi::SQLITE_CANTOPEN, Kind::NotPermitted, false),
            (ffi::SQLITE_ERROR, Kind::Config, false),
            (ffi::SQLITE_NOTADB, Kind::Config, false),
            (ffi::SQLITE_MISUSE, Kind::Bug, false),
        ];
        for (code, kind, transient) in cases {
            let fault = of(code, "no");
            assert_eq!((fault.kind(), fault.is_transient()), (kind, transient), "{fault:?}");
        }
    }

    #[test]
    fn what_sqlite_names_is_kept() {
        let check = of(ffi::SQLITE_CONSTRAINT_CHECK, "CHECK constraint failed: positive");
        assert_eq!((check.constraint(), check.column()), (Some("positive"), None));
        assert_eq!(check.code(), Some("SQLITE_CONSTRAINT_CHECK"));
        let unique = of(ffi::SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: items.code");
        assert_eq!((unique.constraint(), unique.column()), (Some("items.code"), Some("code")));
        let pair = of(ffi::SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: t.a, t.b");
        assert_eq!((pair.constraint(), pair.column()), (Some("t.a, t.b"), None));
        let null = of(ffi::SQLITE_CONSTRAINT_NOTNULL, "NOT NULL constraint failed: t.a");
        assert_eq!(null.column(), Some("a"));
        let type_ =
            of(ffi::SQLITE_CONSTRAINT_DATATYPE, "cannot store TEXT value in INTEGER column t.a");
        assert_eq!(type_.column(), Some("a"));
    }
}
