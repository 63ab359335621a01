//! What can go wrong, and the three questions each fault answers.

use std::error::Error;
use std::fmt;

/// What happened, in the classes that call for different reactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One item is at fault: it becomes a dead letter, the others go on.
    Item,
    /// Too many items failed.
    Limit,
    /// The input is not there or is no input.
    InputMissing,
    /// The input as a whole is unusable (no header, not the format it claims).
    InputInvalid,
    /// The job file, or the target it names, is not what the other expects:
    /// no such table or column, a type that does not fit, a changed input.
    Config,
    /// A file, a table or a database may not be read or written.
    NotPermitted,
    /// The database or service can't be reached, or went away.
    Unreachable,
    /// The target asks to try again: deadlock, serialization failure, busy.
    Busy,
    /// Reading or writing failed below the database: disk full, I/O error.
    Io,
    /// Another runner holds the run.
    Held,
    /// Another runner took the run over; this one must write nothing more.
    Fenced,
    /// The run was asked to stop.
    Stopped,
    /// kiln broke a promise of its own.
    Bug,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The item: its data does not fit.
    Item,
    /// The target: it lacks something, or is wrongly described by the job.
    Target,
    /// The world around: network, disk, permissions, other runners.
    Environment,
    /// kiln itself.
    Us,
}

/// Whether the work that met the fault is in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Landed {
    /// Certainly not: it was rolled back or never sent.
    No,
    /// Certainly: it was committed before the fault.
    Yes,
    /// Nobody can tell from here; the mark in the target can.
    Unknown,
}

/// Something that went wrong.
///
/// A fault answers three questions: may it be [retried](Fault::is_transient),
/// [whose fault](Fault::blame) is it, and [did it land](Fault::landed). Its text
/// is for the person who reads it: what failed, where, what the database said
/// and, as [`hint`](Fault::hint), what to do next.
pub struct Fault(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    transient: bool,
    landed: Landed,
    message: String,
    hint: Option<String>,
    code: Option<String>,
    constraint: Option<String>,
    column: Option<String>,
    tries: u32,
    source: Option<std::sync::Arc<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of this kind. It did not land, and is transient if its kind is
    /// [`Kind::Busy`] or [`Kind::Unreachable`].
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            transient: matches!(kind, Kind::Busy | Kind::Unreachable),
            landed: Landed::No,
            message: message.into(),
            hint: None,
            code: None,
            constraint: None,
            column: None,
            tries: 1,
            source: None,
        }))
    }

    /// An item whose data does not fit.
    pub fn item(message: impl Into<String>) -> Self {
        Self::new(Kind::Item, message)
    }

    /// A job file or target that is not what the other expects.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// A promise of kiln's own that was broken.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// An error of the operating system on `what` (a path or an address).
    pub fn io(what: impl fmt::Display, error: std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let kind = match error.kind() {
            E::NotFound | E::IsADirectory | E::NotADirectory => Kind::InputMissing,
            E::PermissionDenied | E::ReadOnlyFilesystem => Kind::NotPermitted,
            E::ConnectionRefused | E::ConnectionReset | E::ConnectionAborted | E::TimedOut => {
                Kind::Unreachable
            }
            _ => Kind::Io,
        };
        Self::new(kind, format!("{what}: {error}")).caused_by(error)
    }

    /// Says what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The database's own code: an SQLSTATE, or `SQLITE_…`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// The constraint that the database names.
    #[must_use]
    pub fn with_constraint(mut self, constraint: impl Into<String>) -> Self {
        self.0.constraint = Some(constraint.into());
        self
    }

    /// The column at fault.
    #[must_use]
    pub fn with_column(mut self, column: impl Into<String>) -> Self {
        self.0.column = Some(column.into());
        self
    }

    /// Says how often it was tried until it was given up.
    #[must_use]
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.0.tries = tries;
        self
    }

    /// Says whether the same work may be tried again as it is.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Self {
        self.0.transient = transient;
        self
    }

    /// Says whether the work is in the target.
    #[must_use]
    pub fn with_landed(mut self, landed: Landed) -> Self {
        self.0.landed = landed;
        self
    }

    /// Keeps the error below.
    #[must_use]
    pub fn caused_by(mut self, error: impl Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(std::sync::Arc::new(error));
        self
    }

    /// Puts `what: ` before the message: where it happened.
    #[must_use]
    pub fn at(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// May the same work be tried again as it is?
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Whose fault is it?
    pub fn blame(&self) -> Blame {
        match self.0.kind {
            Kind::Item | Kind::Limit | Kind::InputInvalid => Blame::Item,
            Kind::Config => Blame::Target,
            Kind::InputMissing
            | Kind::NotPermitted
            | Kind::Unreachable
            | Kind::Busy
            | Kind::Io
            | Kind::Held
            | Kind::Fenced
            | Kind::Stopped => Blame::Environment,
            Kind::Bug => Blame::Us,
        }
    }

    /// Did it land?
    pub fn landed(&self) -> Landed {
        self.0.landed
    }

    /// What failed and where, without the hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The database's own code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The constraint that the database named.
    pub fn constraint(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    /// How often it was tried until it was given up; once, if nothing else was
    /// said.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// The column at fault.
    pub fn column(&self) -> Option<&str> {
        self.0.column.as_deref()
    }
}

impl Clone for Fault {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, transient, landed, message, code, .. } = &*self.0;
        write!(f, "{kind:?}(transient={transient}, landed={landed:?}, code={code:?}): {message}")
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|e| e.as_ref() as &(dyn Error + 'static))
    }
}
