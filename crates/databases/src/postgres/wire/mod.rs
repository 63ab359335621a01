//! PostgreSQL's protocol as far as a lane needs it.
//!
//! A driver waits for the answer to `COPY` before it sends a row, and for the
//! answer to each statement before it sends the next. A lane sends a whole
//! transaction at once, and the next one before the answer to the first:
//!
//! ```text
//! Request ──▶ Connection ──▶ server          BEGIN · COPY … · mark · COMMIT · Sync
//!             Connection ◀── server          Answers: one for each statement, or the
//!                                            first error, up to ReadyForQuery
//! ```
//!
//! After an error the server skips what follows up to the `Sync` that ends a
//! request, rows of a COPY included; so a request is done as far as its first
//! error and no further.
//!
//! * [`Request`] is a plain value: the bytes of some statements.
//! * [`Connection`] sends requests and reads [`Answers`]. It reads while it
//!   writes, takes no message beyond a limit, and gives up on a server that
//!   stays silent.
//! * `connect` starts a session on a stream that is open already.
//! * `message` reads what a server says, and panics on nothing.

mod connect;
mod connection;
mod error;
mod message;
mod request;

pub(super) use connection::{Answers, Connection};
pub(super) use error::{Error, ServerError};
pub(super) use message::{Row, Status};
pub(super) use request::{Parameter, Request, copy_data};
