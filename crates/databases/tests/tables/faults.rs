//! What happens to a reader when something happens to its database.

use std::sync::Arc;

use kiln_core::{ChunkLimits, Kind, Source, TableName, TableSpec};
use kiln_databases::{Database, connect};
use kiln_testkit::{TestDatabase, mysql, postgres, sqlite};

fn limits(items: usize) -> ChunkLimits {
    ChunkLimits { items, ..ChunkLimits::default() }
}

fn spec(table: &str) -> TableSpec {
    TableSpec::new(TableName::parse(table).unwrap())
}

async fn count(source: &mut dyn Source, items: usize) -> usize {
    let mut rows = 0;
    while let Some(chunk) = source.next(&limits(items)).await.unwrap() {
        rows += chunk.items.len();
    }
    rows
}

async fn numbers(database: &TestDatabase, rows: usize) -> Arc<dyn Database> {
    let values: Vec<String> = (1..=rows).map(|n| format!("({n})")).collect();
    database
        .execute(&format!(
            "CREATE TABLE numbers (n bigint PRIMARY KEY); INSERT INTO numbers VALUES {}",
            values.join(", ")
        ))
        .await;
    connect(&database.url, None).await.unwrap()
}

/// Ends every other connection to the database.
async fn end_connections(database: &TestDatabase) {
    if !database.url.starts_with("mysql:") {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.query(end).await;
        return;
    }
    let others = "SELECT id FROM information_schema.processlist \
                  WHERE db = database() AND id <> connection_id()";
    for id in database.query(others).await.into_iter().flatten().flatten() {
        // It may have ended by itself.
        let kill =
            format!("BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; KILL {id}; END");
        database.execute(&kill).await;
    }
}

/// A lost connection is a moment's fault: after a seek reading goes on.
#[tokio::test]
async fn a_lost_connection_is_made_again() {
    for plain in [postgres().await, mysql().await] {
        let mut source = numbers(&plain, 100).await.source(&spec("numbers")).await.unwrap();
        let first = source.next(&limits(40)).await.unwrap().unwrap();
        end_connections(&plain).await;
        if let Err(fault) = source.next(&limits(40)).await {
            assert!(fault.is_transient(), "{fault:?}");
        }
        source.seek(&first.end).await.unwrap();
        assert_eq!(count(&mut *source, 40).await, 60);
    }
}

/// What a snapshot saw is gone with its connection: nobody goes on with another
/// one unasked.
#[tokio::test]
async fn a_lost_snapshot_ends_the_run() {
    for plain in [postgres().await, mysql().await] {
        let database = numbers(&plain, 100).await;
        let snapshot = TableSpec { snapshot: true, ..spec("numbers") };
        let mut source = database.source(&snapshot).await.unwrap();
        source.next(&limits(40)).await.unwrap().unwrap();
        end_connections(&plain).await;
        let fault = source.next(&limits(40)).await.unwrap_err();
        assert_eq!((fault.kind(), fault.is_transient()), (Kind::Unreachable, false), "{fault:?}");
        assert!(fault.hint().is_some_and(|h| h.contains("snapshot")), "{:?}", fault.hint());
    }
}

/// A condition that fails on a row is no fault of an item.
#[tokio::test]
async fn a_failing_condition_ends_the_run() {
    let cases = [
        (postgres().await, "1 / (n - 7) < 9", "22012"),
        (mysql().await, "CAST(n AS unsigned) - 7 < 9", "1690"),
    ];
    for (plain, filter, code) in cases {
        let database = numbers(&plain, 10).await;
        let spec = TableSpec { filter: Some(filter.into()), ..spec("numbers") };
        let mut source = database.source(&spec).await.unwrap();
        let fault = source.next(&limits(0)).await.unwrap_err();
        assert_eq!((fault.kind(), fault.code()), (Kind::Config, Some(code)), "{fault:?}");
    }
}

/// A row that is on its way has no place yet: a lag leaves it room.
#[tokio::test]
async fn a_lag_leaves_young_rows_to_the_next_run() {
    let (plain, other) = (postgres().await, mysql().await);
    plain
        .execute(
            "CREATE TABLE changes (id bigint PRIMARY KEY, at timestamptz, shown timestamp);
             INSERT INTO changes SELECT n, now() - n * interval '1 minute' FROM generate_series(1, 9) n",
        )
        .await;
    other
        .execute(
            "CREATE TABLE changes (id bigint PRIMARY KEY, at timestamp(6) NULL, shown datetime);
             INSERT INTO changes SELECT seq, now(6) - interval seq minute, NULL FROM seq_1_to_9",
        )
        .await;
    for (plain, snapshot) in [(&plain, false), (&plain, true), (&other, false), (&other, true)] {
        let database = connect(&plain.url, None).await.unwrap();
        let mut spec = TableSpec { watermark: Some("at".into()), snapshot, ..spec("changes") };
        assert_eq!(count(&mut *database.source(&spec).await.unwrap(), 2).await, 9);
        spec.lag = std::time::Duration::from_secs(330);
        assert_eq!(count(&mut *database.source(&spec).await.unwrap(), 2).await, 4);
        spec.watermark = Some("shown".into());
        let fault = database.source(&spec).await.err().unwrap();
        assert_eq!((fault.kind(), fault.column()), (Kind::Config, Some("shown")));
    }
}

/// A page is found by the index, wherever it begins.
#[tokio::test]
async fn pages_are_found_by_the_index() {
    let (plain, file) = (postgres().await, sqlite());
    let create = "CREATE TABLE t (a bigint NOT NULL, b text NOT NULL, PRIMARY KEY (a, b))";
    plain.execute(create).await;
    plain
        .execute("INSERT INTO t SELECT n / 3, n FROM generate_series(1, 30000) n; ANALYZE t")
        .await;
    let page = "FROM t WHERE (t.a, t.b) > (CAST('5000' AS bigint), CAST('x' AS text)) \
                ORDER BY t.a, t.b LIMIT 100";
    let plan = plain.query(&format!("EXPLAIN SELECT t.a::text {page}")).await;
    let plan: Vec<String> = plan.into_iter().flatten().flatten().collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Cond: (ROW(a, b) > ROW(") && !plan.contains("Sort"), "{plan}");

    file.execute(create).await;
    let page = page.replace("CAST('5000' AS bigint), CAST('x' AS text)", "5000, 'x'");
    let plan = file.query(&format!("EXPLAIN QUERY PLAN SELECT t.a {page}")).await;
    let plan = format!("{plan:?}");
    assert!(plan.contains("SEARCH t USING") && plan.contains("((a,b)>(?,?))"), "{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

/// Two texts that a collation finds equal are one key to it, so an index that
/// finds them different proves nothing.
#[tokio::test]
async fn a_key_is_unique_by_the_columns_own_collation() {
    let file = sqlite();
    file.execute(
        "CREATE TABLE t (a TEXT COLLATE NOCASE NOT NULL);
         CREATE UNIQUE INDEX u ON t (a COLLATE BINARY);
         INSERT INTO t VALUES ('a'), ('A')",
    )
    .await;
    let key = TableSpec { key: vec!["a".into()], ..spec("t") };
    let database = connect(&file.url, None).await.unwrap();
    let fault = database.source(&key).await.err().unwrap();
    assert!(fault.message().contains("no unique index"), "{fault}");

    let plain = postgres().await;
    plain
        .execute(
            "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TABLE t (a text COLLATE nocase NOT NULL);
             CREATE UNIQUE INDEX u ON t (a COLLATE \"C\");
             INSERT INTO t VALUES ('a'), ('A')",
        )
        .await;
    let database = connect(&plain.url, None).await.unwrap();
    let fault = database.source(&key).await.err().unwrap();
    assert!(fault.message().contains("no unique index"), "{fault}");
}

/// A key of a table proves nothing for the rows of those that inherit from it.
#[tokio::test]
async fn a_table_that_others_inherit_from_has_no_key() {
    let plain = postgres().await;
    plain
        .execute(
            "CREATE TABLE t (a integer PRIMARY KEY); CREATE TABLE child () INHERITS (t);
             CREATE TABLE parts (a integer PRIMARY KEY) PARTITION BY RANGE (a);
             CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
             CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20);
             INSERT INTO parts SELECT generate_series(0, 19)",
        )
        .await;
    let database = connect(&plain.url, None).await.unwrap();
    assert!(database.source(&spec("t")).await.is_err());
    assert_eq!(count(&mut *database.source(&spec("parts")).await.unwrap(), 7).await, 20);
}

/// A column may sort in another way than its type does.
#[tokio::test]
async fn a_column_has_its_own_order() {
    let plain = postgres().await;
    plain
        .execute(
            "CREATE COLLATION up (provider = icu, locale = 'und-u-kf-upper');
             CREATE DOMAIN code AS text COLLATE \"C\";
             CREATE TABLE t (a code COLLATE up, b text COLLATE up, PRIMARY KEY (a, b));
             INSERT INTO t SELECT x, y FROM unnest('{a,A,b,B,ä,Z}'::text[]) x, unnest('{a,A,b}'::text[]) y",
        )
        .await;
    let database = connect(&plain.url, None).await.unwrap();
    assert_eq!(count(&mut *database.source(&spec("t")).await.unwrap(), 1).await, 18);
}

/// Who may not read is told before anything is read.
#[tokio::test]
async fn a_permission_that_is_missing_is_told() {
    let (plain, other) = (postgres().await, mysql().await);
    plain
        .execute(
            "DO $$ BEGIN
                IF to_regrole('kiln_reader') IS NULL THEN CREATE ROLE kiln_reader LOGIN; END IF;
                EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL; END $$;
             CREATE TABLE t (a integer PRIMARY KEY, secret text);
             GRANT SELECT (a) ON t TO kiln_reader",
        )
        .await;
    other
        .execute(
            "CREATE USER IF NOT EXISTS kiln_reader@'%' IDENTIFIED BY 'pw';
             CREATE TABLE t (a integer PRIMARY KEY, secret text);
             GRANT SELECT (a) ON t TO kiln_reader@'%'",
        )
        .await;
    let url_of = |plain: &TestDatabase, user: &str| {
        let (before, server) = plain.url.split_once('@').unwrap();
        let (scheme, _) = before.split_once("://").unwrap();
        format!("{scheme}://{user}@{server}")
    };
    for url in [url_of(&plain, "kiln_reader"), url_of(&other, "kiln_reader:pw")] {
        let database = connect(&url, None).await.unwrap();
        let fault = database.source(&spec("t")).await.err().unwrap();
        assert_eq!(fault.kind(), Kind::NotPermitted, "{fault}");
        let allowed = TableSpec { columns: vec!["a".into()], ..spec("t") };
        assert_eq!(count(&mut *database.source(&allowed).await.unwrap(), 1).await, 0);
    }
}

/// Names are names, whatever they hold.
#[tokio::test]
async fn odd_names_are_inert() {
    let names = r#"CREATE TABLE "a""; DROP TABLE x;--" ("order" integer PRIMARY KEY, "b.c" text, "$1" text);
                   INSERT INTO "a""; DROP TABLE x;--" VALUES (1, 'x', 'y'), (2, 'z', NULL)"#;
    for plain in [postgres().await, sqlite(), mysql().await] {
        match plain.url.starts_with("mysql:") {
            true => plain.execute(&format!("SET sql_mode = 'ANSI_QUOTES'; {names}")).await,
            false => plain.execute(names).await,
        }
        let database = connect(&plain.url, None).await.unwrap();
        let mut source = database.source(&spec(r#"a"; DROP TABLE x;--"#)).await.unwrap();
        assert_eq!(count(&mut *source, 1).await, 2);
    }
}

/// A file that is not there is missing input, and is not made.
#[tokio::test]
async fn a_missing_file_is_missing_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let database = connect(&format!("sqlite:{}", path.display()), None).await.unwrap();
    let fault = database.source(&spec("items")).await.err().unwrap();
    assert_eq!(fault.kind(), Kind::InputMissing, "{fault}");
    assert!(!path.exists());
}

/// Whoever writes does not wait for a reader, nor a reader for him.
#[tokio::test]
async fn a_reader_and_a_writer_do_not_wait_for_each_other() {
    for snapshot in [true, false] {
        let file = sqlite();
        file.execute("PRAGMA journal_mode = WAL").await;
        let database = numbers(&file, 100).await;
        let mut source = database.source(&TableSpec { snapshot, ..spec("numbers") }).await.unwrap();
        source.next(&limits(10)).await.unwrap().unwrap();
        let began = std::time::Instant::now();
        file.execute("INSERT INTO numbers VALUES (1000)").await;
        let rest = if snapshot { 90 } else { 91 };
        assert_eq!(count(&mut *source, 10).await, rest);
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}

/// A condition is one condition; a value in it keeps its backslashes.
#[tokio::test]
async fn a_condition_can_not_leave_its_place() {
    let plain = mysql().await;
    plain
        .execute(
            r"CREATE TABLE t (id int PRIMARY KEY, code varchar(9));
              INSERT INTO t VALUES (1, '\\'), (2, 'it''s'), (3, 'c')",
        )
        .await;
    let database = connect(&plain.url, None).await.unwrap();
    let where_ = |filter: &str| TableSpec { filter: Some(filter.into()), ..spec("t") };
    for filter in [r"code <> '\'", "code <> 'it''s' # '", "code <> 'c' -- ;"] {
        let mut source = database.source(&where_(filter)).await.unwrap();
        assert_eq!(count(&mut *source, 1).await, 2, "{filter}");
    }
    for filter in ["1); DROP TABLE t; SELECT (1", "1 = 1; DROP TABLE t; --"] {
        let fault = database.source(&where_(filter)).await.err().unwrap();
        assert_eq!(fault.kind(), Kind::Config, "{filter}: {fault}");
    }
    assert_eq!(plain.value("SELECT count(*) FROM t").await, "3");
}

/// A table that a set-up script will make can be looked at, and nothing is left
/// of the look.
#[tokio::test]
async fn a_table_that_is_not_there_yet_is_described() {
    let plain = mysql().await;
    plain.execute("CREATE TABLE old (id int PRIMARY KEY); CREATE TABLE loose (a int, b int)").await;
    let script = "CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, n decimal(9,2));
                  ALTER TABLE old ADD COLUMN IF NOT EXISTS new int;
                  ALTER TABLE loose ADD PRIMARY KEY IF NOT EXISTS (a);";
    let database = connect(&plain.url, Some(script.into())).await.unwrap();
    for table in ["t", "old", "loose"] {
        assert_eq!(database.source(&spec(table)).await.unwrap().schema().fields().len(), 2);
    }
    assert!(database.source(&spec("u")).await.is_err());
    let filter = TableSpec { filter: Some("id = ".into()), ..spec("old") };
    assert!(database.source(&filter).await.is_err());
    assert_eq!(plain.query("SHOW TABLES").await.len(), 2);
    database.set_up().await.unwrap();
    assert_eq!(count(&mut *database.source(&spec("old")).await.unwrap(), 1).await, 0);
}
