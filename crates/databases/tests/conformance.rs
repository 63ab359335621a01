//! The suites of the contracts, on every database.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSpec, Ledger, Sink};
use kiln_databases::{Database, Script, connect};
use kiln_testkit::{Pooler, Row, TestDatabase, TestTarget, notes, stock};

/// A database through kiln, and the same one by plain SQL.
struct Target {
    plain: Arc<TestDatabase>,
    database: Arc<dyn Database>,
    /// What stands between the two.
    pooler: Option<Arc<Pooler>>,
}

impl Target {
    async fn open(plain: Arc<TestDatabase>, tables: &str) -> Box<dyn TestTarget> {
        Self::through(None, plain, tables).await
    }

    async fn through(
        pooler: Option<Arc<Pooler>>,
        plain: Arc<TestDatabase>,
        tables: &str,
    ) -> Box<dyn TestTarget> {
        let script = Script { name: "tables.sql".to_owned(), sql: tables.to_owned() };
        let target = Self::connect(pooler, plain, Some(script)).await;
        target.database.set_up().await.unwrap();
        target.database.ledger().prepare().await.unwrap();
        Box::new(target)
    }

    async fn connect(
        pooler: Option<Arc<Pooler>>,
        plain: Arc<TestDatabase>,
        script: Option<Script>,
    ) -> Self {
        let url = match &pooler {
            Some(pooler) => pooler.url(&plain.url).await,
            None => plain.url.clone(),
        };
        let database = connect(&url, script).await.unwrap();
        Self { plain, database, pooler }
    }
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
        self.plain.query(&format!("SELECT * FROM {table}")).await
    }

    async fn again(&self) -> Box<dyn TestTarget> {
        Box::new(Self::connect(self.pooler.clone(), Arc::clone(&self.plain), None).await)
    }
}

macro_rules! suites {
    () => {
        mod sink {
            kiln_testkit::sink_suite!(super::fresh);
        }
        mod increment {
            kiln_testkit::increment_suite!(super::fresh);
        }
        mod modes {
            kiln_testkit::modes_suite!(super::fresh);
        }
        mod statements {
            kiln_testkit::statements_suite!(super::fresh);
        }
        mod ledger {
            kiln_testkit::ledger_suite!(super::fresh);
        }
        mod catalog {
            kiln_testkit::catalog_suite!(super::fresh);
        }
    };
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;

    async fn fresh() -> Box<dyn TestTarget> {
        Target::open(Arc::new(kiln_testkit::sqlite()), &[notes::SQLITE, stock::SQLITE].concat())
            .await
    }

    suites!();
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::*;

    async fn fresh() -> Box<dyn TestTarget> {
        let tables = [notes::MYSQL, stock::MYSQL].concat();
        Target::open(Arc::new(kiln_testkit::mysql().await), &tables).await
    }

    suites!();
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;

    async fn fresh() -> Box<dyn TestTarget> {
        let tables = [notes::POSTGRES, stock::POSTGRES].concat();
        Target::open(Arc::new(kiln_testkit::postgres().await), &tables).await
    }

    suites!();

    /// Fault 33: behind pgbouncer in transaction mode.
    mod pooled {
        use super::*;

        async fn fresh() -> Box<dyn TestTarget> {
            let plain = Arc::new(kiln_testkit::postgres().await);
            let tables = [notes::POSTGRES, stock::POSTGRES].concat();
            let pooler = Arc::new(Pooler::start(&plain.url));
            Target::through(Some(pooler), plain, &tables).await
        }

        suites!();
    }

    /// PostgreSQL looks for tables first in the schema of the user's own name;
    /// the ledger's is called kiln, and so may a user be.
    #[tokio::test]
    async fn a_user_called_as_the_ledgers_schema_has_one_set_of_tables() {
        let plain = Arc::new(kiln_testkit::postgres().await);
        let role = "DO $$ BEGIN
            IF to_regrole('kiln') IS NULL THEN CREATE ROLE kiln SUPERUSER LOGIN; END IF;
            EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL; END $$";
        plain.execute(role).await;
        let (_, server) = plain.url.split_once('@').unwrap();
        let url = format!("postgres://kiln@{server}");
        for _ in 0..2 {
            let script = Script { name: "tables.sql".into(), sql: notes::POSTGRES.into() };
            let database = connect(&url, Some(script)).await.unwrap();
            database.set_up().await.unwrap();
            database.ledger().prepare().await.unwrap();
        }
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'notes'";
        assert_eq!(plain.value(tables).await, "1");
    }
}
