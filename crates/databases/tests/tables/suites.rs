//! The suites of sources, on every database.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Result, Source, TableName, TableSpec};
use kiln_databases::{Database, connect};
use kiln_testkit::TestDatabase;
use kiln_testkit::suites::source::Make;
use kiln_testkit::suites::table::TestTables;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// A database by plain SQL, and through kiln.
struct Tables {
    plain: TestDatabase,
    database: Arc<dyn Database>,
}

#[async_trait]
impl TestTables for Tables {
    async fn execute(&self, sql: &str) {
        self.plain.execute(sql).await;
    }

    async fn open(&self, spec: &TableSpec) -> Result<Box<dyn Source>> {
        self.database.source(spec).await
    }
}

async fn tables(plain: TestDatabase) -> Tables {
    let database = connect(&plain.url, None).await.unwrap();
    Tables { plain, database }
}

/// The way to open a table of 30 rows, some of them no items, again and again, in
/// so many ranges.
async fn many(tables: Tables, ranges: usize, create: &str, insert: &str, bad: &str) -> Box<Make> {
    tables.execute(create).await;
    for n in 0..30 {
        tables.execute(&insert.replace("$n", &n.to_string())).await;
    }
    tables.execute(bad).await;
    let spec = TableSpec { ranges, ..TableSpec::new(TableName::parse("many").unwrap()) };
    Box::new(move || {
        block_in_place(|| Handle::current().block_on(tables.open(&spec))).expect("a source")
    })
}

mod sqlite {
    use super::*;

    /// A file in which nobody waits for a reader.
    async fn file() -> Tables {
        let plain = kiln_testkit::sqlite();
        plain.execute("PRAGMA journal_mode = WAL").await;
        tables(plain).await
    }

    async fn fresh() -> Box<dyn TestTables> {
        Box::new(file().await)
    }

    kiln_testkit::table_suite!(fresh);

    async fn make() -> Box<Make> {
        made(1).await
    }

    async fn cut() -> Box<Make> {
        made(3).await
    }

    async fn made(ranges: usize) -> Box<Make> {
        let create = "CREATE TABLE many (a TEXT COLLATE NOCASE, b, n INTEGER, PRIMARY KEY (a, b))";
        let insert = "INSERT INTO many VALUES (char(65 + $n % 7), iif($n % 2, $n, 'x' || $n), $n)";
        let bad = "UPDATE many SET n = 'many' WHERE n IN (4, 17); UPDATE many SET b = x'00ff' \
                   WHERE n = 9";
        many(file().await, ranges, create, insert, bad).await
    }

    mod source {
        kiln_testkit::source_suite!(super::make);
    }

    mod source_in_ranges {
        kiln_testkit::source_suite!(super::cut);
    }
}

mod postgres {
    use super::*;

    async fn fresh() -> Box<dyn TestTables> {
        Box::new(tables(kiln_testkit::postgres().await).await)
    }

    kiln_testkit::table_suite!(fresh);

    async fn make() -> Box<Make> {
        made(1).await
    }

    async fn cut() -> Box<Make> {
        made(3).await
    }

    async fn made(ranges: usize) -> Box<Make> {
        let create = "CREATE TABLE many (a timestamptz, b numeric, c bytea, d date, \
                      PRIMARY KEY (a, b, c))";
        let insert = "INSERT INTO many SELECT to_timestamp($n % 3 + 0.25), $n % 5 + 0.1, \
                      int4send($n), date '2024-01-01' + $n";
        let bad = "UPDATE many SET d = 'infinity' WHERE d IN ('2024-01-05', '2024-01-18')";
        many(tables(kiln_testkit::postgres().await).await, ranges, create, insert, bad).await
    }

    mod source {
        kiln_testkit::source_suite!(super::make);
    }

    mod source_in_ranges {
        kiln_testkit::source_suite!(super::cut);
    }
}

mod mysql {
    use super::*;

    /// A database whose texts are what they are: by most collations an `ä` is an
    /// `a`.
    async fn database() -> Tables {
        let plain = kiln_testkit::mysql().await;
        let name = plain.value("SELECT database()").await;
        plain.execute(&format!("ALTER DATABASE {name} COLLATE utf8mb4_bin")).await;
        tables(plain).await
    }

    async fn fresh() -> Box<dyn TestTables> {
        Box::new(database().await)
    }

    kiln_testkit::table_suite!(fresh);

    async fn make() -> Box<Make> {
        made(1).await
    }

    async fn cut() -> Box<Make> {
        made(3).await
    }

    async fn made(ranges: usize) -> Box<Make> {
        let create = "CREATE TABLE many (a varchar(9) COLLATE utf8mb4_general_ci, b datetime(6), \
                      c varbinary(9), d date, PRIMARY KEY (a, b, c))";
        let insert = "INSERT INTO many VALUES (char(65 + $n % 3), \
                      timestamp '2024-01-01 00:00:00' + interval $n % 5 microsecond, hex($n), \
                      date '2024-01-01' + interval $n day)";
        let bad = "SET sql_mode = ''; \
                   UPDATE many SET d = 0 WHERE d IN ('2024-01-05', '2024-01-18')";
        many(database().await, ranges, create, insert, bad).await
    }

    mod source {
        kiln_testkit::source_suite!(super::make);
    }

    mod source_in_ranges {
        kiln_testkit::source_suite!(super::cut);
    }
}
