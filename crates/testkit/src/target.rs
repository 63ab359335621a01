//! What a suite needs of a target.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSpec, Ledger, Sink};

use crate::Row;

/// A target under test, fresh, with the empty tables of [`notes`](crate::notes)
/// in it and its ledger prepared.
#[async_trait]
pub trait TestTarget: Send + Sync {
    /// The sink under test.
    fn sink(&self) -> Arc<dyn Sink>;

    /// The ledger under test, in the same place as the rows.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// A catalog under test; a target without catalogs does not run their
    /// suite.
    fn catalog(&self, spec: CatalogSpec) -> Arc<dyn Catalog>;

    /// All rows of a table, in any order, seen without kiln: by plain SQL where
    /// there is SQL.
    async fn rows(&self, table: &str) -> Vec<Row>;

    /// The same target once more, as another process would open it.
    async fn again(&self) -> Box<dyn TestTarget>;
}
