//! What every database offers, and the way from a URL to one.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSpec, Fault, Ledger, Result, Sink, Source, TableSpec};

use crate::url;

/// A database that is a target and keeps the ledger.
///
/// Nothing is opened before it is used. Until [`set_up`](Database::set_up) was
/// called, whatever only looks ([`Sink::check`], [`Catalog::key_is_integer`],
/// [`Catalog::size`], [`Catalog::load`], [`source`](Database::source)) answers as if the set-up
/// script had run: it runs in a transaction that is rolled back, or in a database
/// that is there for a moment.
#[async_trait]
pub trait Database: Send + Sync {
    /// The URL for people: a password is left out.
    fn url(&self) -> &str;

    /// Runs the set-up script for good, if there is one; a second call does
    /// nothing.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if the script fails, with its
    /// name, what the database says and, where it is known, the line.
    async fn set_up(&self) -> Result<()>;

    /// Where units of work go.
    fn sink(&self) -> Arc<dyn Sink>;

    /// The book of runs in this database.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// A table that items refer to.
    fn catalog(&self, spec: CatalogSpec) -> Arc<dyn Catalog>;

    /// A table whose rows are items, read page by page in the order of their
    /// key on a connection of its own, or in ranges of the key on one for each.
    /// Opening it looks at the table and reads none of its rows.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if there is no such table or
    /// column, the key is not unique, may be NULL or can't be ordered by, the
    /// condition is no SQL, or so many ranges can't be.
    async fn source(&self, spec: &TableSpec) -> Result<Box<dyn Source>>;
}

/// SQL that prepares a database for a job, such as `CREATE TABLE IF NOT EXISTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its path, for messages.
    pub name: String,
    /// Its text: statements, each ended by a semicolon.
    pub sql: String,
}

/// SQL that stands in a program.
impl From<&str> for Script {
    fn from(sql: &str) -> Self {
        Self { name: "set-up script".to_owned(), sql: sql.to_owned() }
    }
}

/// The database that a URL names: `sqlite:path`, `sqlite::memory:`,
/// `postgres://…`, `postgresql://…`, `mysql://…` or `mariadb://…`.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config) for a URL that can't be read, and
/// for a database kiln does not know.
pub async fn connect(url: &str, set_up: Option<Script>) -> Result<Arc<dyn Database>> {
    match url::scheme(url) {
        #[cfg(feature = "sqlite")]
        Some("sqlite") => Ok(crate::sqlite::database(url, set_up)?),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => Ok(crate::postgres::database(url, set_up)?),
        #[cfg(feature = "mysql")]
        Some("mysql" | "mariadb") => Ok(crate::mysql::database(url, set_up)?),
        _ => {
            drop(set_up);
            Err(unknown(url))
        }
    }
}

fn unknown(url: &str) -> Fault {
    let known: &[&str] = &[
        #[cfg(feature = "sqlite")]
        "sqlite:shop.db",
        #[cfg(feature = "postgres")]
        "postgres://user@host/shop",
        #[cfg(feature = "mysql")]
        "mysql://user@host/shop",
    ];
    let what = match url::scheme(url) {
        Some(scheme) => format!("{scheme}: is no database that kiln knows"),
        None => "the URL of the database does not say which kind it is".to_owned(),
    };
    Fault::config(what).with_hint(format!("write it as {}", known.join(" or ")))
}

#[cfg(test)]
mod tests {
    use kiln_core::Kind;

    #[tokio::test]
    async fn an_unknown_database_is_refused_with_those_that_are_known() {
        for url in ["oracle://root:secret@localhost/shop", "shop.db", "", "c:\\shop.db"] {
            let fault = super::connect(url, None).await.err().expect(url);
            assert_eq!(fault.kind(), Kind::Config, "{url}");
            assert!(fault.hint().is_some_and(|h| h.contains(':')), "{url}");
            assert!(!format!("{fault:?}").contains("secret"), "{fault:?}");
        }
    }
}
