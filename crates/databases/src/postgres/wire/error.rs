//! What goes wrong between a client and a server.

use std::io;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::postgres) enum Error {
    /// The connection broke.
    Lost(io::Error),
    /// No byte came or went for so long.
    Silent(Duration),
    /// The server says no, and ends the session.
    Server(Box<ServerError>),
    /// The server wants to know who this is, and there is no way to tell it.
    Login(String),
    /// The server said something that makes no sense, or was to be told so.
    Protocol(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl Error {
    pub(super) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }
}

/// An error as the server tells it. Its DETAIL holds data and is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::postgres) struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`, in no other language.
    pub(in crate::postgres) severity: String,
    /// The SQLSTATE.
    pub(in crate::postgres) code: String,
    pub(in crate::postgres) message: String,
    pub(in crate::postgres) hint: Option<String>,
    /// What the server was doing, line by line. May hold data.
    pub(in crate::postgres) context: Option<String>,
    pub(in crate::postgres) column: Option<String>,
    pub(in crate::postgres) constraint: Option<String>,
}

impl ServerError {
    /// Whether the session is over.
    pub(in crate::postgres) fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
            || matches!(self.code.as_str(), "57P01" | "57P02" | "57P03" | "25P03" | "57P05")
    }
}
