//! What the errors of MySQL and MariaDB mean.

use std::time::Duration;

use kiln_core::{Fault, Kind};
use mysql_async::{DriverError, Error};

/// What went wrong on a connection.
#[derive(Debug)]
pub(super) enum DbError {
    /// The server refused.
    Server {
        /// Its number for it, such as 1062.
        code: u16,
        /// The SQLSTATE, such as 23000.
        state: String,
        /// Its words, which may hold data.
        message: String,
    },
    /// The connection is gone.
    Lost(String),
    /// The server did not answer for so long.
    Silent(Duration),
    /// Who is at the other end does not speak as expected.
    Driver(String),
}

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        match error {
            Error::Server(e) => Self::Server { code: e.code, state: e.state, message: e.message },
            Error::Driver(DriverError::ConnectionClosed | DriverError::PoolDisconnected) => {
                Self::Lost("the server closed it".to_owned())
            }
            Error::Driver(DriverError::PacketTooLarge) => Self::Server {
                code: PACKET_TOO_LARGE,
                state: "08S01".to_owned(),
                message: "a row is larger than the server's max_allowed_packet".to_owned(),
            },
            // What they hold may be data.
            Error::Driver(DriverError::FromValue { .. } | DriverError::FromRow { .. }) => {
                Self::Driver("a value is of another type than expected".to_owned())
            }
            Error::Driver(DriverError::UnexpectedPacket { .. }) => {
                Self::Driver("a packet was not expected".to_owned())
            }
            Error::Driver(error) => Self::Driver(error.to_string()),
            Error::Io(mysql_async::IoError::Io(error)) => Self::Lost(error.to_string()),
            error => Self::Lost(error.to_string()),
        }
    }
}

impl DbError {
    /// The server's number for what it refused.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The row of a statement that the message names, counted from 1.
    pub(super) fn row(&self) -> Option<usize> {
        match self {
            Self::Server { message, .. } => split_row(message).1,
            _ => None,
        }
    }
}

const PACKET_TOO_LARGE: u16 = 1153;
pub(super) const DUPLICATE: u16 = 1062;

/// The fault behind an error.
pub(super) fn fault(error: &DbError) -> Fault {
    match error {
        DbError::Server { code, state, message } => of_server(*code, state, message),
        DbError::Lost(why) => {
            Fault::new(Kind::Unreachable, format!("the connection to the server is lost: {why}"))
                .with_hint("is the server still running? its log tells why it hung up")
        }
        DbError::Silent(patience) => Fault::new(
            Kind::Unreachable,
            format!("the server did not answer for {} seconds", patience.as_secs()),
        )
        .with_hint("if its statements take longer, add timeout=SECONDS to the URL"),
        DbError::Driver(why) => Fault::bug(format!("a message to the server went wrong: {why}")),
    }
}

/// The fault behind an error on a statement of kiln's own, whose data no item
/// answers for.
pub(super) fn own_fault(error: &DbError) -> Fault {
    let fault = fault(error);
    if fault.kind() != Kind::Item {
        return fault;
    }
    Fault::bug(format!("the ledger refused what kiln keeps in it: {}", fault.message()))
        .with_code(fault.code().unwrap_or_default())
}

/// Whether the table that a statement names is not there.
pub(super) fn is_absent(error: &DbError) -> bool {
    error.code() == Some(1146)
}

/// Whether the table has no such column.
pub(super) fn is_unknown_column(error: &DbError) -> bool {
    error.code() == Some(1054)
}

/// Whether something that a statement names is not there: the table, a column or
/// an index of it.
pub(super) fn is_missing_part(error: &DbError) -> bool {
    is_absent(error) || is_unknown_column(error) || error.code() == Some(1176)
}

/// Whether the server says that it may not be done.
pub(super) fn is_denied(error: &DbError) -> bool {
    fault(error).kind() == Kind::NotPermitted
}

/// The unique index that has the row already.
pub(super) fn duplicate_in(error: &DbError) -> Option<String> {
    match error {
        DbError::Server { code: DUPLICATE, message, .. } => index_of(message).map(str::to_owned),
        _ => None,
    }
}

/// Whether an answer to COMMIT leaves open what became of the transaction: an
/// error of the server's own means that it rolled back, unless the server or the
/// connection was going away.
pub(super) fn leaves_open(error: &DbError) -> bool {
    match error {
        DbError::Server { code, state, .. } => {
            matches!(kind(*code, state), Kind::Unreachable | Kind::Io) || *code == 1180
        }
        _ => true,
    }
}

/// Whether the session is over after this error.
pub(super) fn ends_session(error: &DbError) -> bool {
    match error {
        DbError::Server { code, state, .. } => kind(*code, state) == Kind::Unreachable,
        _ => true,
    }
}

fn of_server(code: u16, state: &str, message: &str) -> Fault {
    let told = Told::of(code, message);
    let mut fault = Fault::new(kind(code, state), told.text).with_code(code.to_string());
    if let Some(constraint) = told.constraint {
        fault = fault.with_constraint(constraint);
    }
    if let Some(column) = told.column {
        fault = fault.with_column(column);
    }
    match hint(code) {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    }
}

/// What a number calls for, and where it is none that is known here, the class
/// of its SQLSTATE.
fn kind(code: u16, state: &str) -> Kind {
    match code {
        // Deadlock, lock wait, interrupted, too many at once, table changed.
        1213 | 1205 | 1614 | 1317 | 1969 | 3024 | 3572 | 1040 | 1203 | 1226 | 1637 | 1412
        | 1615 | 1020 | 3101 => Kind::Busy,
        // Shutdown, killed, the network, a cluster's node that is not ready.
        1053 | 1080 | 1152..=1152 | 1154..=1161 | 1184 | 1927 | 3169 | 4031 | 1047 => {
            Kind::Unreachable
        }
        1044
        | 1045
        | 1129..=1133
        | 1142
        | 1143
        | 1227
        | 1290
        | 1370
        | 1410
        | 1698
        | 1792
        | 1820
        | 1836
        | 1862 => Kind::NotPermitted,
        // Full, broken, out of memory.
        3
        | 28
        | 126..=145
        | 1021
        | 1026
        | 1030
        | 1034
        | 1035
        | 1037
        | 1038
        | 1041
        | 1114
        | 1194
        | 1195
        | 1206
        | 1812..=1814
        | 1878 => Kind::Io,
        // Values: null, twice, foreign keys, checks, partitions, ranges, texts,
        // rows and packets that are too large, JSON.
        1048
        | 1022
        | 1062
        | 1169
        | 1216
        | 1217
        | 1451
        | 1452
        | 1557
        | 1761
        | 3819
        | 4025
        | 1526
        | 1748
        | 1264
        | 1265
        | 1292
        | 1365
        | 1366
        | 1367
        | 1406
        | 1411
        | 1416
        | 1441
        | 1690
        | 1300
        | 1977
        | 1118
        | 1139
        | PACKET_TOO_LARGE
        | 3140
        | 3141
        | 3156
        | 3157
        | 3158
        | 4037..=4045 => Kind::Item,
        // Columns that have no value or may have none: the write is wrong.
        1364 | 1906 | 3105 => Kind::Config,
        _ => match state.get(..2) {
            Some("22" | "23" | "45") => Kind::Item,
            Some("08") => Kind::Unreachable,
            Some("28") => Kind::NotPermitted,
            Some("40") => Kind::Busy,
            _ => Kind::Config,
        },
    }
}

fn hint(code: u16) -> Option<&'static str> {
    Some(match code {
        1021 | 1114 => "make room for the database, then run again: it goes on where it stopped",
        1044 | 1142 | 1143 => "ask the database's owner to GRANT it to this user",
        1045 | 1698 => "look at user and password in the URL",
        1049 => "create it with CREATE DATABASE, or name another one in the URL",
        1290 | 1836 => "connect to the primary server: this one takes no writes",
        1665 => "set the server's binlog_format to MIXED or ROW",
        PACKET_TOO_LARGE => "raise the server's max_allowed_packet",
        _ => return None,
    })
}

/// What a message tells, without the values in it: those are data.
struct Told<'a> {
    text: String,
    constraint: Option<&'a str>,
    column: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(code: u16, message: &'a str) -> Self {
        let (message, _) = split_row(message);
        let column = column_of(message);
        let plain = |text: String| Self { text, constraint: None, column };
        match code {
            DUPLICATE | 1557 | 1761 => {
                let index = index_of(message);
                let key = index.map_or_else(String::new, |k| format!(" for key {k}"));
                Self { constraint: index, ..plain(format!("duplicate entry{key}")) }
            }
            1451 | 1452 | 4025 => Self {
                constraint: between(message, "CONSTRAINT `", "`"),
                ..plain(message.to_owned())
            },
            3819 => Self {
                constraint: between(message, "constraint '", "'"),
                ..plain(message.to_owned())
            },
            1526 => plain("the table has no partition for the value".to_owned()),
            1064 => plain("the server can't read the statement".to_owned()),
            // A trigger's own words.
            1644 => plain(message.to_owned()),
            _ => plain(without_value(message)),
        }
    }
}

/// The message without ` at row 12`, and the number.
fn split_row(message: &str) -> (&str, Option<usize>) {
    match message.rsplit_once(" at row ") {
        Some((before, number)) => match number.parse() {
            Ok(row) => (before, Some(row)),
            Err(_) => (message, None),
        },
        None => (message, None),
    }
}

/// The index of `… for key 'PRIMARY'`, or `'table.index'`.
fn index_of(message: &str) -> Option<&str> {
    let (_, name) = message.rsplit_once("for key '")?;
    let name = name.strip_suffix('\'')?;
    Some(name.rsplit_once('.').map_or(name, |(_, index)| index))
}

/// The column of `… column 'n'` or `` … column `d`.`t`.`n` `` at the end of a
/// message or before a word.
fn column_of(message: &str) -> Option<&str> {
    let (before, rest) = message.rsplit_once("olumn ")?;
    before.ends_with(['c', 'C']).then_some(())?;
    if let Some(name) = rest.strip_prefix('\'') {
        return name.split('\'').next();
    }
    rest.strip_suffix('`')?.rsplit('`').next()
}

/// `Incorrect integer value: 'x' for column …` without the value, and `… out of
/// range in '…'` without the expression.
fn without_value(message: &str) -> String {
    for (start, end) in [(": '", "' for column"), (": '", "' for function"), (" in '", "'")] {
        let Some(from) = message.find(start) else { continue };
        let Some(to) = message.rfind(end).filter(|to| *to >= from + start.len() - 1) else {
            continue;
        };
        return format!("{}{}", &message[..from], &message[to + 1..]);
    }
    match message.find(": '") {
        Some(from) => message[..from].to_owned(),
        None => message.to_owned(),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split(end).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, state: &str, message: &str) -> Fault {
        fault(&DbError::Server { code, state: state.into(), message: message.into() })
    }

    #[test]
    fn faults_of_the_system_are_never_an_items() {
        for (code, state, expected) in [
            (1213, "40001", Kind::Busy),
            (1205, "HY000", Kind::Busy),
            (1317, "70100", Kind::Busy),
            (1644, "40001", Kind::Busy),
            (1114, "HY000", Kind::Io),
            (1021, "HY000", Kind::Io),
            (1927, "70100", Kind::Unreachable),
            (1053, "08S01", Kind::Unreachable),
            (1142, "42000", Kind::NotPermitted),
            (1045, "28000", Kind::NotPermitted),
            (1290, "HY000", Kind::NotPermitted),
            (1146, "42S02", Kind::Config),
            (1054, "42S22", Kind::Config),
            (1364, "HY000", Kind::Config),
            (1062, "23000", Kind::Item),
            (1265, "01000", Kind::Item),
            (1644, "45000", Kind::Item),
            (4025, "23000", Kind::Item),
        ] {
            let fault = of(code, state, "no");
            assert_eq!(fault.kind(), expected, "{code}");
            let passes = matches!(expected, Kind::Busy | Kind::Unreachable);
            assert_eq!(fault.is_transient(), passes, "{code}");
        }
    }

    #[test]
    fn a_message_tells_places_and_no_values() {
        let cases = [
            (
                1062,
                "Duplicate entry 'se' for key 'cret' for key 'stock.PRIMARY'",
                "duplicate entry for key PRIMARY",
                Some("PRIMARY"),
                None,
            ),
            (
                1366,
                "Incorrect integer value: 'secret' for column `d`.`t`.`n` at row 3",
                "Incorrect integer value for column `d`.`t`.`n`",
                None,
                Some("n"),
            ),
            (
                1292,
                "Truncated incorrect DOUBLE value: 'secret'",
                "Truncated incorrect DOUBLE value",
                None,
                None,
            ),
            (
                1690,
                "BIGINT UNSIGNED value is out of range in '(`d`.`t`.`u` - secret)'",
                "BIGINT UNSIGNED value is out of range",
                None,
                None,
            ),
            (
                1406,
                "Data too long for column 'v' at row 12",
                "Data too long for column 'v'",
                None,
                Some("v"),
            ),
            (1048, "Column 'a b' cannot be null", "Column 'a b' cannot be null", None, Some("a b")),
            (
                4025,
                "CONSTRAINT `few` failed for `d`.`t`",
                "CONSTRAINT `few` failed for `d`.`t`",
                Some("few"),
                None,
            ),
            (
                1526,
                "Table has no partition for value secret",
                "the table has no partition for the value",
                None,
                None,
            ),
        ];
        for (code, message, text, constraint, column) in cases {
            let fault = of(code, "23000", message);
            assert_eq!(fault.message(), text);
            assert_eq!((fault.constraint(), fault.column()), (constraint, column), "{message}");
        }
        let error = DbError::Server { code: 1, state: "".into(), message: "x at row 12".into() };
        assert_eq!(error.row(), Some(12));
    }
}
