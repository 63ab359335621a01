//! Modes that find rows by a key, where PostgreSQL has something of its own to
//! say.

use arrow_array::{ArrayRef, Float64Array, TimestampMicrosecondArray};
use kiln_core::{Counts, Kind, Mode};

use super::*;

/// A lane for one write of these rows into `t`.
async fn lane(
    database: &Arc<dyn Database>,
    write: Write,
    rows: &RecordBatch,
) -> (Box<dyn Lane>, Unit) {
    // A run of its own for each lane.
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
    let (lane, _) = open(database, &key(&run, 1), &[write], &rows.schema()).await;
    (lane, unit(0, vec![rows.clone()]))
}

/// Processed and duplicate.
async fn counted(database: &Arc<dyn Database>, write: Write, rows: &RecordBatch) -> (u64, u64) {
    let (mut lane, unit) = lane(database, write, rows).await;
    match settle(&mut lane, &unit).await {
        Settled::Committed(Counts { processed, duplicate, .. }) => (processed, duplicate),
        other => panic!("{other:?}"),
    }
}

async fn fault(database: &Arc<dyn Database>, write: Write, rows: &RecordBatch) -> Fault {
    let (mut lane, unit) = lane(database, write, rows).await;
    refused(&mut lane, &unit).await.0
}

fn policy(on_duplicate: Duplicates, write: Write) -> Write {
    Write { on_duplicate, ..write }
}

const ALL: &str = "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM t";

#[tokio::test]
async fn the_table_says_which_keys_are_equal() {
    let (server, database) = shop("").await;
    let collation = "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', \
                     deterministic = false)";
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, 0]));
    let cases: Vec<(&str, ArrayRef)> = vec![
        ("integer", texts(["1", "01"])),
        ("numeric", texts(["1.0", "1"])),
        ("char(5)", texts(["a", "a  "])),
        (
            "uuid",
            texts(["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        ),
        ("text COLLATE nocase", texts(["a", "A"])),
        ("float8", Arc::new(Float64Array::from(vec![0.0, -0.0]))),
        ("timestamp", times),
        ("date", texts(["2020-01-02", "2020-1-2"])),
    ];
    for (type_, keys) in cases {
        server.execute(&format!("{AFRESH}; {collation}")).await;
        server.execute(&format!("CREATE TABLE t (k {type_} PRIMARY KEY, n int)")).await;
        let rows = batch(vec![("k", keys), ("n", ints([1, 2]))]);
        let n = async || server.value("SELECT string_agg(n::text, ',') FROM t").await;
        let by_key = |mode| write("t", mode, &["k", "n"], &["k"]);
        assert_eq!(counted(&database, by_key(Mode::Ignore), &rows).await, (1, 1), "{type_}");
        assert_eq!(n().await, "1", "{type_}");
        assert_eq!(counted(&database, by_key(Mode::Ignore), &rows).await, (0, 2), "{type_}");
        assert_eq!(counted(&database, by_key(Mode::Upsert), &rows).await, (2, 0), "{type_}");
        assert_eq!(n().await, "2", "{type_}");
        let sum = policy(Duplicates::Sum, by_key(Mode::Upsert));
        assert_eq!(counted(&database, sum, &rows).await, (2, 0), "{type_}");
        assert_eq!(n().await, "3", "{type_}");
        let first = policy(Duplicates::First, by_key(Mode::Update));
        assert_eq!(counted(&database, first, &rows).await, (1, 1), "{type_}");
        assert_eq!(n().await, "1", "{type_}");
        let reject = policy(Duplicates::Reject, by_key(Mode::Upsert));
        assert_eq!(fault(&database, reject, &rows).await.code(), Some("duplicate_key"), "{type_}");
        assert_eq!(counted(&database, by_key(Mode::Increment), &rows).await, (2, 0), "{type_}");
        assert_eq!(n().await, "4", "{type_}");
        let gone = write("t", Mode::Delete, &["k"], &["k"]);
        let keys = rows.project(&[0]).unwrap();
        assert_eq!(counted(&database, gone, &keys).await, (2, 0), "{type_}");
        assert_eq!(n().await, "NULL", "{type_}");
    }
}

#[tokio::test]
async fn names_are_only_names() {
    let (server, database) = shop(
        r#"CREATE SCHEMA "my shop";
           CREATE TABLE "my shop"."a""; DROP TABLE x;--" ("Key "" one" int, "select" text,
               "o" int, "c0" int, PRIMARY KEY ("select", "Key "" one"));"#,
    )
    .await;
    let columns = ["o", "Key \" one", "select", "c0"];
    let by_key = |mode| Write {
        table: TableName { schema: Some("my shop".into()), name: r#"a"; DROP TABLE x;--"#.into() },
        ..write("t", mode, &columns, &["select", "Key \" one"])
    };
    let rows = |n| {
        let (key, word) = (ints([1, 1]), texts(["x", "y"]));
        batch(vec![
            ("o", ints([n, n])),
            ("Key \" one", key),
            ("select", word),
            ("c0", ints([7, 8])),
        ])
    };
    let all = "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM \"my shop\".\"a\"\"; DROP TABLE x;--\" t";
    assert_eq!(counted(&database, by_key(Mode::Ignore), &rows(1)).await, (2, 0));
    assert_eq!(counted(&database, by_key(Mode::Ignore), &rows(2)).await, (0, 2));
    assert_eq!(server.value(all).await, "(1,x,1,7) (1,y,1,8)");
    assert_eq!(counted(&database, by_key(Mode::Upsert), &rows(3)).await, (2, 0));
    assert_eq!(counted(&database, by_key(Mode::Update), &rows(4)).await, (2, 0));
    assert_eq!(server.value(all).await, "(1,x,4,7) (1,y,4,8)");
    let gone =
        Write { columns: by_key(Mode::Delete).columns[1..3].to_vec(), ..by_key(Mode::Delete) };
    let keys = rows(0).project(&[1, 2]).unwrap();
    assert_eq!(counted(&database, gone, &keys).await, (2, 0));
    assert_eq!(server.value(all).await, "NULL");
}

#[tokio::test]
async fn what_comes_by_itself_may_be_left_out_or_looked_for() {
    let (server, database) = shop(
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY UNIQUE, code text PRIMARY KEY,
             n int DEFAULT 7, twice int GENERATED ALWAYS AS (n * 2) STORED, note text NOT NULL
             DEFAULT 'new')",
    )
    .await;
    let rows = batch(vec![("code", texts(["a", "b"])), ("n", ints([1, 2]))]);
    for mode in [Mode::Ignore, Mode::Upsert] {
        let made = write("t", mode, &["code", "n"], &["code"]);
        assert_eq!(counted(&database, made, &rows).await.0, 2);
        assert_eq!(server.value(ALL).await, "(1,a,1,2,new) (2,b,2,4,new)");
    }
    let rows = batch(vec![("id", ints([2, 1])), ("n", ints([20, 10]))]);
    let changed = write("t", Mode::Update, &["id", "n"], &["id"]);
    assert_eq!(counted(&database, changed, &rows).await, (2, 0));
    assert_eq!(server.value(ALL).await, "(1,a,10,20,new) (2,b,20,40,new)");
    let gone = write("t", Mode::Delete, &["id"], &["id"]);
    counted(&database, gone, &rows.project(&[0]).unwrap()).await;
    assert_eq!(server.value("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn partitioned_tables_are_tables() {
    let (server, database) = shop(
        "CREATE TABLE t (day date, code text, n int, PRIMARY KEY (code, day))
             PARTITION BY RANGE (day);
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
    )
    .await;
    let rows = batch(vec![
        ("day", texts(["2020-05-01", "2021-05-01", "2021-05-01"])),
        ("code", texts(["a", "a", "b"])),
        ("n", ints([1, 2, 3])),
    ]);
    let by_key = |mode| write("t", mode, &["day", "code", "n"], &["day", "code"]);
    assert_eq!(counted(&database, by_key(Mode::Ignore), &rows).await, (3, 0));
    assert_eq!(counted(&database, by_key(Mode::Ignore), &rows).await, (0, 3));
    assert_eq!(counted(&database, by_key(Mode::Upsert), &rows).await, (3, 0));
    assert_eq!(counted(&database, by_key(Mode::Increment), &rows).await, (3, 0));
    assert_eq!(counted(&database, by_key(Mode::Update), &rows).await, (3, 0));
    let all =
        "SELECT string_agg(concat_ws(' ', tableoid::regclass, code, n), ', ' ORDER BY n) FROM t";
    assert_eq!(server.value(all).await, "t1 a 1, t2 a 2, t2 b 3");
    // No partition for it.
    let odd = batch(vec![("day", texts(["1999-01-01"])), ("code", texts(["a"])), ("n", ints([1]))]);
    for mode in [Mode::Insert, Mode::Ignore, Mode::Upsert] {
        let key: &[&str] = if mode.is_keyed() { &["day", "code"] } else { &[] };
        let write = write("t", mode, &["day", "code", "n"], key);
        let fault = fault(&database, write, &odd).await;
        assert_eq!((fault.kind(), fault.code()), (Kind::Item, Some("23514")), "{mode:?}");
    }
    let gone = write("t", Mode::Delete, &["day", "code"], &["day", "code"]);
    assert_eq!(counted(&database, gone, &rows.project(&[0, 1]).unwrap()).await, (3, 0));
    assert_eq!(server.value("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn triggers_and_foreign_keys_are_heard() {
    let (server, database) = shop(
        "CREATE TABLE p (id int PRIMARY KEY);
         INSERT INTO p VALUES (1), (2);
         CREATE TABLE t (k int PRIMARY KEY, p int REFERENCES p, note text);
         CREATE TABLE said (what text);
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF new.p = 2 THEN RAISE 'no twos'; END IF;
             INSERT INTO said VALUES (tg_op || new.k || '=' || new.p);
             new.note := 'told'; RETURN new; END $$;
         CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tell()",
    )
    .await;
    let rows = |p: [i64; 3]| batch(vec![("k", ints([1, 2, 1])), ("p", ints(p))]);
    let by_key = |mode| write("t", mode, &["k", "p"], &["k"]);
    assert_eq!(counted(&database, by_key(Mode::Upsert), &rows([1, 1, 1])).await, (3, 0));
    assert_eq!(server.value(ALL).await, "(1,1,told) (2,1,told)");
    // As if one after another: the trigger saw the second row of the key too.
    let said = "SELECT string_agg(what, ' ' ORDER BY what) FROM said WHERE what LIKE 'UPDATE%'";
    assert_eq!(server.value(said).await, "UPDATE1=1");
    for mode in [Mode::Upsert, Mode::Update, Mode::Ignore] {
        server.execute("DELETE FROM t WHERE k = 2").await;
        let raised = fault(&database, by_key(mode), &rows([1, 2, 1])).await;
        let code = if mode == Mode::Update { "not_found" } else { "P0001" };
        assert_eq!((raised.kind(), raised.code()), (Kind::Item, Some(code)), "{mode:?}");
        server.execute("INSERT INTO t VALUES (2, 1)").await;
    }
    let missing = fault(&database, by_key(Mode::Upsert), &rows([7, 1, 1])).await;
    assert_eq!((missing.kind(), missing.constraint()), (Kind::Item, Some("t_p_fkey")));
    let missing = fault(&database, by_key(Mode::Update), &rows([1, 7, 1])).await;
    assert_eq!((missing.kind(), missing.constraint()), (Kind::Item, Some("t_p_fkey")));
    let referred = write("p", Mode::Delete, &["id"], &["id"]);
    let kept = fault(&database, referred, &batch(vec![("id", ints([2, 1]))])).await;
    assert_eq!((kept.kind(), kept.code()), (Kind::Item, Some("23503")));
    assert_eq!(server.value("SELECT count(*) FROM p").await, "2");
}

#[tokio::test]
async fn a_key_that_the_table_changes_is_not_counted_wrongly() {
    let (server, database) = shop(
        "CREATE TABLE t (k text PRIMARY KEY, n int);
         CREATE FUNCTION low() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF new.k = 'drop' THEN RETURN NULL; END IF; new.k := lower(new.k);
                RETURN new; END $$;
         CREATE TRIGGER low BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION low()",
    )
    .await;
    let by_key = |mode| write("t", mode, &["k", "n"], &["k"]);
    let rows = |keys: [&'static str; 2]| batch(vec![("k", texts(keys)), ("n", ints([1, 2]))]);
    assert_eq!(counted(&database, by_key(Mode::Ignore), &rows(["a", "drop"])).await, (1, 1));
    let changed = fault(&database, by_key(Mode::Ignore), &rows(["a", "B"])).await;
    assert_eq!((changed.kind(), changed.code()), (Kind::Item, Some("key_changed")));
    // Each by itself is fine: the engine finds that out.
    let twice = fault(&database, by_key(Mode::Upsert), &rows(["c", "C"])).await;
    assert_eq!((twice.kind(), twice.code()), (Kind::Item, Some("21000")));
    assert_eq!(server.value(ALL).await, "(a,1)");
}

#[tokio::test]
async fn a_key_that_is_not_unique_means_all_its_rows() {
    let (server, database) =
        shop("CREATE TABLE t (k int, n int); INSERT INTO t VALUES (1, 1), (1, 2), (2, 3)").await;
    let rows = batch(vec![("k", ints([1])), ("n", ints([9]))]);
    let changed = write("t", Mode::Update, &["k", "n"], &["k"]);
    let checks = database.sink().check(std::slice::from_ref(&changed), &rows.schema()).await;
    let note = checks.iter().find(|c| c.what == "t: key k").expect("a remark");
    assert!(note.result.as_ref().unwrap().as_ref().unwrap().contains("all rows"));
    assert_eq!(counted(&database, changed, &rows).await, (1, 0));
    assert_eq!(server.value(ALL).await, "(1,9) (1,9) (2,3)");
    let gone = write("t", Mode::Delete, &["k"], &["k"]);
    assert_eq!(counted(&database, gone, &rows.project(&[0]).unwrap()).await, (1, 0));
    assert_eq!(server.value(ALL).await, "(2,3)");
}

#[tokio::test]
async fn what_a_column_would_round_or_not_read_is_refused() {
    let (server, database) =
        shop("CREATE TABLE t (k int PRIMARY KEY, n numeric(8,2)); INSERT INTO t VALUES (1, 1)")
            .await;
    for mode in [Mode::Ignore, Mode::Upsert, Mode::Update] {
        let by_key = write("t", mode, &["k", "n"], &["k"]);
        for (k, n, code) in [("1", "0.001", "22003"), ("one", "1", "22P02"), ("1", "1e7", "22003")]
        {
            let rows = batch(vec![("k", texts([k])), ("n", texts([n]))]);
            let (mut lane, unit) = lane(&database, by_key.clone(), &rows).await;
            match settle(&mut lane, &unit).await {
                Settled::Refused(refusal) => {
                    assert_eq!(refusal.fault.code(), Some(code), "{mode:?} {k} {n}");
                }
                // The row is there: whether its values would fit is not looked at.
                Settled::Committed(counts) => {
                    assert_eq!((mode, n, counts.duplicate), (Mode::Ignore, "1e7", 1));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(server.value(ALL).await, "(1,1.00)");
}

#[tokio::test]
async fn an_insert_at_the_same_time_is_waited_for() {
    let (server, database) = shop("CREATE TABLE t (k int PRIMARY KEY, n int)").await;
    let (other, connection) =
        tokio_postgres::connect(&server.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    other.batch_execute("BEGIN; INSERT INTO t VALUES (2, 20)").await.unwrap();
    let rows = batch(vec![("k", ints([1, 2])), ("n", ints([1, 2]))]);
    let by_key = write("t", Mode::Ignore, &["k", "n"], &["k"]);
    let counting = {
        let (database, rows) = (Arc::clone(&database), rows.clone());
        tokio::spawn(async move { counted(&database, by_key, &rows).await })
    };
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
    while server.value(waiting).await == "0" {
        tokio::task::yield_now().await;
    }
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(counting.await.unwrap(), (1, 1));
    assert_eq!(server.value(ALL).await, "(1,1) (2,20)");
}
