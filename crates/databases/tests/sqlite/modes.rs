//! Modes that find rows by a key, where SQLite has something of its own to say.

use arrow_array::{ArrayRef, RecordBatch};
use kiln_core::{Counts, Duplicates, Kind, Mode, Settled, Write};

use crate::support::*;

fn by_key(mode: Mode, columns: &[&str], key: &[&str]) -> Write {
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    Write { mode, key, ..insert("t", columns) }
}

/// Processed and duplicate.
async fn counted(shop: &Shop, write: &Write, rows: &RecordBatch) -> (u64, u64) {
    match answer(shop, write, rows).await {
        Settled::Committed(Counts { processed, duplicate, .. }) => (processed, duplicate),
        other => panic!("{other:?}"),
    }
}

async fn answer(shop: &Shop, write: &Write, rows: &RecordBatch) -> Settled {
    let (mut lane, mark) = shop.open(1, std::slice::from_ref(write), rows.schema()).await.unwrap();
    settle(&mut *lane, unit(mark.done, vec![rows.clone()])).await
}

async fn refused(shop: &Shop, write: &Write, rows: &RecordBatch) -> (Kind, Option<String>) {
    match answer(shop, write, rows).await {
        Settled::Refused(refusal) => {
            (refusal.fault.kind(), refusal.fault.code().map(str::to_owned))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_table_says_which_keys_are_equal() {
    let cases: Vec<(&str, ArrayRef)> = vec![
        ("INTEGER", texts(["1", "01"])),
        ("NUMERIC", texts(["1.0", "1"])),
        ("REAL", texts(["1.0", "1"])),
        ("TEXT COLLATE NOCASE", texts(["a", "A"])),
        ("TEXT COLLATE RTRIM", texts(["a", "a  "])),
        ("BLOB", ints([7, 7])),
    ];
    for (type_, keys) in cases {
        let shop = Shop::new(&format!("CREATE TABLE t (k {type_} PRIMARY KEY, n INTEGER)")).await;
        let rows = batch(vec![("k", keys), ("n", ints([1, 2]))]);
        let by_key = |mode| by_key(mode, &["k", "n"], &["k"]);
        let policy = |on_duplicate, mode| Write { on_duplicate, ..by_key(mode) };
        let n = || shop.rows("SELECT n FROM t").join(",");
        for (write, counts, expected) in [
            (by_key(Mode::Ignore), (1, 1), "1"),
            (by_key(Mode::Ignore), (0, 2), "1"),
            (by_key(Mode::Upsert), (2, 0), "2"),
            (policy(Duplicates::Sum, Mode::Upsert), (2, 0), "3"),
            (policy(Duplicates::First, Mode::Update), (1, 1), "1"),
            (by_key(Mode::Update), (2, 0), "2"),
            (by_key(Mode::Increment), (2, 0), "5"),
        ] {
            assert_eq!(counted(&shop, &write, &rows).await, counts, "{type_} {write:?}");
            assert_eq!(n(), expected, "{type_} {write:?}");
        }
        let reject = policy(Duplicates::Reject, Mode::Upsert);
        let code = Some("duplicate_key".to_owned());
        assert_eq!(refused(&shop, &reject, &rows).await, (Kind::Item, code), "{type_}");
        let gone =
            Write { columns: by_key(Mode::Delete).columns[..1].to_vec(), ..by_key(Mode::Delete) };
        assert_eq!(counted(&shop, &gone, &rows.project(&[0]).unwrap()).await, (2, 0), "{type_}");
        assert_eq!(n(), "", "{type_}");
        assert!(shop.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%keys%'").is_empty());
    }
}

#[tokio::test]
async fn a_key_may_be_the_rows_number_or_computed_or_not_unique() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT, up TEXT AS (upper(code)), n INTEGER);
         INSERT INTO t (code, n) VALUES ('a', 1), ('b', 2), ('A', 3);",
    )
    .await;
    let rows = batch(vec![("up", texts(["A", "B"])), ("n", ints([7, 8]))]);
    let changed = by_key(Mode::Update, &["up", "n"], &["up"]);
    let checks = shop.database.sink().check(std::slice::from_ref(&changed), &rows.schema()).await;
    let note = checks.iter().find(|c| c.what == "t: key (up)").expect("a remark");
    assert!(note.result.as_ref().unwrap().as_ref().unwrap().contains("all rows"));
    assert_eq!(counted(&shop, &changed, &rows).await, (2, 0));
    assert_eq!(shop.rows("SELECT id, n FROM t"), ["1|7", "2|8", "3|7"]);
    let rows = batch(vec![("ID", ints([3, 4])), ("n", ints([5, 6]))]);
    assert_eq!(counted(&shop, &by_key(Mode::Upsert, &["ID", "n"], &["Id"]), &rows).await, (2, 0));
    assert_eq!(shop.rows("SELECT id, n FROM t"), ["1|7", "2|8", "3|5", "4|6"]);
    let gone = by_key(Mode::Delete, &["up"], &["up"]);
    assert_eq!(counted(&shop, &gone, &batch(vec![("up", texts(["A"]))])).await, (1, 0));
    assert_eq!(shop.rows("SELECT id, n FROM t"), ["2|8", "4|6"]);
}

#[tokio::test]
async fn triggers_and_foreign_keys_are_heard() {
    let shop = Shop::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         INSERT INTO p VALUES (1);
         CREATE TABLE t (k INTEGER PRIMARY KEY, p INTEGER REFERENCES p) WITHOUT ROWID;
         CREATE TABLE said (what);
         CREATE TRIGGER made AFTER INSERT ON t BEGIN INSERT INTO said VALUES ('made ' || new.k); END;
         CREATE TRIGGER changed AFTER UPDATE ON t WHEN new.k < 9
             BEGIN INSERT INTO said VALUES ('changed ' || new.k); END;
         CREATE TRIGGER drops BEFORE INSERT ON t WHEN new.k = 9 BEGIN SELECT raise(IGNORE); END;
         CREATE TRIGGER raises BEFORE UPDATE ON t WHEN new.k = 1 AND new.p IS NULL
             BEGIN SELECT raise(ABORT, 'no'); END;",
    )
    .await;
    let rows = |keys: [i64; 3], p: [i64; 3]| batch(vec![("k", ints(keys)), ("p", ints(p))]);
    let upsert = by_key(Mode::Upsert, &["k", "p"], &["k"]);
    assert_eq!(counted(&shop, &upsert, &rows([1, 2, 1], [1, 1, 1])).await, (3, 0));
    assert_eq!(shop.rows("SELECT * FROM said"), ["'made 1'", "'made 2'", "'changed 1'"]);
    let ignore = by_key(Mode::Ignore, &["k", "p"], &["k"]);
    assert_eq!(counted(&shop, &ignore, &rows([1, 9, 3], [1, 1, 1])).await, (1, 2));
    let item = |code: &str| (Kind::Item, Some(code.to_owned()));
    assert_eq!(refused(&shop, &upsert, &rows([4, 9, 5], [1, 1, 1])).await, item("dropped"));
    let foreign = rows([1, 2, 1], [1, 7, 1]);
    for mode in [Mode::Upsert, Mode::Update] {
        let write = by_key(mode, &["k", "p"], &["k"]);
        assert_eq!(refused(&shop, &write, &foreign).await, item("SQLITE_CONSTRAINT_FOREIGNKEY"));
    }
    let nulls: ArrayRef = std::sync::Arc::new(arrow_array::NullArray::new(1));
    let raised = batch(vec![("k", ints([1])), ("p", nulls)]);
    let update = by_key(Mode::Update, &["k", "p"], &["k"]);
    assert_eq!(refused(&shop, &update, &raised).await, item("SQLITE_CONSTRAINT_TRIGGER"));
    let gone = Write { table: insert("p", &[]).table, ..by_key(Mode::Delete, &["id"], &["id"]) };
    let kept = refused(&shop, &gone, &batch(vec![("id", ints([1]))])).await;
    assert_eq!(kept, item("SQLITE_CONSTRAINT_FOREIGNKEY"));
    assert_eq!(shop.rows("SELECT count(*) FROM t"), ["3"]);
}

#[tokio::test]
async fn a_strange_name_is_only_a_name() {
    let name = r#"main."a""; DROP TABLE x;--""#;
    let shop = Shop::new(
        r#"CREATE TABLE x (id);
           CREATE TABLE "a""; DROP TABLE x;--" ("k""y" TEXT, "kiln_row" INT, "select" INTEGER,
               PRIMARY KEY ("select", "k""y"));"#,
    )
    .await;
    let rows = |n: i64| {
        batch(vec![
            ("kiln_row", ints([n, n])),
            ("k\"y", texts(["a", "a"])),
            ("select", ints([1, 2])),
        ])
    };
    let write = |mode, on_duplicate| Write {
        on_duplicate,
        table: insert(name, &[]).table,
        ..by_key(mode, &["kiln_row", "k\"y", "select"], &["k\"y", "select"])
    };
    for (n, mode, policy, expected) in [
        (1, Mode::Ignore, Duplicates::Last, "1,1"),
        (2, Mode::Upsert, Duplicates::First, "2,2"),
        (3, Mode::Upsert, Duplicates::Sum, "3,3"),
        (4, Mode::Update, Duplicates::Reject, "4,4"),
    ] {
        assert_eq!(counted(&shop, &write(mode, policy), &rows(n)).await, (2, 0), "{mode:?}");
        let now = shop.rows(r#"SELECT "kiln_row" FROM "a""; DROP TABLE x;--""#);
        assert_eq!(now.join(","), expected, "{mode:?}");
    }
    assert_eq!(shop.rows("SELECT count(*) FROM x"), ["0"]);
}

#[tokio::test]
async fn a_diagnosis_knows_the_modes() {
    let shop = Shop::new(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, n INTEGER CHECK (n > 0));
         INSERT INTO t VALUES (1, 1), (2, 2);",
    )
    .await;
    let rows = batch(vec![("k", ints([1, 3, 2, 1])), ("n", ints([5, 5, 0, 6]))]);
    for (mode, bad) in
        [(Mode::Upsert, vec![3]), (Mode::Update, vec![2, 3]), (Mode::Ignore, vec![3])]
    {
        let write = by_key(mode, &["k", "n"], &["k"]);
        let mut lane = shop.lane(1, &[write], rows.schema()).await;
        let named = lane.diagnose(&unit(0, vec![rows.clone()])).await.unwrap().unwrap();
        assert_eq!(named.iter().map(|r| r.ordinal).collect::<Vec<_>>(), bad, "{mode:?}");
        assert_eq!(shop.rows("SELECT * FROM t"), ["1|1", "2|2"]);
    }
}
