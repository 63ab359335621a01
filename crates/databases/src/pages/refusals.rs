//! Why rows can't be read.

use kiln_core::{Fault, Kind, TableName};

/// A table without a primary key, in a job that names no other.
pub(crate) fn no_primary_key(table: &TableName) -> Fault {
    Fault::config(format!("{table} has no primary key to read its rows by"))
        .with_hint("name columns that are unique together and NOT NULL: key = [\"…\"]")
}

/// A key that two rows may share.
pub(crate) fn not_unique(table: &TableName, key: &[String]) -> Fault {
    let columns = key.join(", ");
    Fault::config(format!("{table} has no unique index over the key ({columns})"))
        .with_hint(format!("CREATE UNIQUE INDEX … ON {table} ({columns}), or name another key"))
}

/// A key that may be missing.
pub(crate) fn nullable(table: &TableName, column: &str) -> Fault {
    Fault::config(format!("{table}.{column} is part of the key and may be NULL"))
        .with_column(column)
        .with_hint("declare it NOT NULL, or name another key")
}

/// A query of the source that fails on a row, as a division by zero does, is no
/// item's fault: nobody can tell which rows are items.
pub(crate) fn of_source(fault: Fault) -> Fault {
    match fault.kind() {
        Kind::Item => Fault::config(fault.message()).with_code(fault.code().unwrap_or_default()),
        _ => fault,
    }
}

/// What was seen can't be seen again: nobody goes on with another moment
/// unasked.
pub(crate) fn lost_snapshot(fault: Fault) -> Fault {
    fault
        .transient(false)
        .with_hint("the snapshot is lost; run again to go on with the table as it is then")
}
