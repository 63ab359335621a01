//! The obligations of the contracts, as every implementation has them.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSpec, Ledger, Sink};
use kiln_databases::{Database, connect};
use kiln_testkit::{Row, TestDatabase, TestTarget, notes, postgres};

struct Target {
    server: Arc<TestDatabase>,
    database: Arc<dyn Database>,
}

#[async_trait]
impl TestTarget for Target {
    fn sink(&self) -> Arc<dyn Sink> {
        self.database.sink()
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.database.ledger()
    }

    fn catalog(&self, spec: CatalogSpec) -> Arc<dyn Catalog> {
        self.database.catalog(spec)
    }

    async fn rows(&self, table: &str) -> Vec<Row> {
        self.server.query(&format!("SELECT * FROM {table}")).await
    }

    async fn again(&self) -> Box<dyn TestTarget> {
        let server = Arc::clone(&self.server);
        let database = connect(&server.url, None).await.unwrap();
        Box::new(Target { server, database })
    }
}

async fn fresh() -> Box<dyn TestTarget> {
    let server = postgres().await;
    server.execute(notes::POSTGRES).await;
    let database = connect(&server.url, None).await.unwrap();
    database.ledger().prepare().await.unwrap();
    Box::new(Target { server: Arc::new(server), database })
}

mod sink {
    kiln_testkit::sink_suite!(super::fresh);
}
mod increment {
    kiln_testkit::increment_suite!(super::fresh);
}
mod ledger {
    kiln_testkit::ledger_suite!(super::fresh);
}
mod catalog {
    kiln_testkit::catalog_suite!(super::fresh);
}
