//! The connection to a database, and what was done with it.

use kiln_core::{Fault, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::place::Place;
use super::{fault, script};
use crate::Script;

/// The connection of the thread that owns it.
pub(super) struct Session {
    place: Place,
    connection: Option<Connection>,
    set_up: Option<Script>,
}

impl Session {
    pub(super) fn new(place: Place, set_up: Option<Script>) -> Self {
        Self { place, connection: None, set_up }
    }

    /// Where the database lies.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The connection that writes; opened, and the file made, when first asked
    /// for.
    pub(super) fn connection(&mut self) -> Result<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.place.open()?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Lets go of a connection that can't be trusted any more; whatever it had
    /// not committed is rolled back, and the next user opens another.
    pub(super) fn close(&mut self) {
        self.connection = None;
    }

    /// Does some work in a transaction that is committed if the work succeeds.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let place = self.place.clone();
        let connection = self.connection()?;
        let result = begin(connection).map_err(at(&place)).and_then(|transaction| {
            let result = work(&transaction)?;
            transaction.commit().map_err(at(&place))?;
            Ok(result)
        });
        if !connection.is_autocommit() {
            // What failed could not even be rolled back.
            self.close();
        }
        result
    }

    /// Runs the set-up script for good, the first time it is called.
    pub(super) fn set_up(&mut self) -> Result<()> {
        let Some(script) = self.set_up.clone() else { return Ok(()) };
        self.transact(|transaction| script::run(transaction, &script))?;
        self.set_up = None;
        Ok(())
    }

    /// Whether there is a set-up script that has not run yet.
    pub(super) fn has_set_up(&self) -> bool {
        self.set_up.is_some()
    }

    /// Looks at the database as it is. Where there is no file it looks at an
    /// empty database.
    pub(super) fn look<T>(&mut self, look: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        match &self.connection {
            Some(connection) => look(connection),
            None => look(&self.place.open_to_look()?),
        }
    }

    /// Looks at the database as it will be when the set-up script has run.
    pub(super) fn look_ahead<T>(
        &mut self,
        look: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        if self.set_up.is_some() { self.rehearse(look) } else { self.look(look) }
    }

    /// Runs the set-up script, if it has not run yet, and a rehearsal of what
    /// comes after it; what they change is rolled back.
    pub(super) fn rehearse<T>(
        &mut self,
        rehearsal: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let mut opened;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                opened = self.place.open_to_look()?;
                &mut opened
            }
        };
        let transaction = begin(connection).map_err(at(&self.place))?;
        if let Some(script) = &self.set_up {
            script::run(&transaction, script)?;
        }
        rehearsal(&transaction)
    }
}

/// Begins a transaction that holds the right to write from its start: one that
/// asks for it later can be refused in the middle. It is rolled back unless it
/// is committed.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Turns an error of SQLite into a fault that says where it happened.
pub(super) fn at(place: impl std::fmt::Display) -> impl FnOnce(rusqlite::Error) -> Fault {
    move |error| fault::classify(error).at(place)
}
