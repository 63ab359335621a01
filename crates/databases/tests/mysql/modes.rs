//! Writes by key: which key counts, and who decides what is equal.

use kiln_core::{Kind, Mode, Refusal};

use super::*;

fn rows(id: &[i64], code: &[&str], n: &[i64]) -> RecordBatch {
    batch(vec![
        ("id", ints(id.iter().copied())),
        ("code", texts(code.iter().copied())),
        ("n", ints(n.iter().copied())),
    ])
}

async fn refusal(lane: &mut Box<dyn Lane>, unit: &Unit) -> Refusal {
    match settle(lane, unit).await {
        Settled::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

const TWO_KEYS: &str =
    "CREATE TABLE t (id BIGINT PRIMARY KEY, code VARCHAR(10) NOT NULL UNIQUE, n BIGINT)";

const ALL: &str = "SELECT group_concat(concat_ws('/', id, code, n) ORDER BY id) FROM t";

/// A row that meets another unique key than the declared one is refused; the row
/// that it meets stays as it is.
#[tokio::test]
async fn only_the_declared_key_counts() {
    for mode in [Mode::Upsert, Mode::Ignore, Mode::Increment] {
        let (server, database) = shop(TWO_KEYS).await;
        server.execute("INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20)").await;
        let columns: &[&str] =
            if mode == Mode::Increment { &["id", "n"] } else { &["id", "code", "n"] };
        if mode == Mode::Increment {
            server.execute("ALTER TABLE t MODIFY code VARCHAR(10) NOT NULL DEFAULT 'a'").await;
        }
        let writes = [write("t", mode, columns, &["id"])];
        let of = |all: RecordBatch| {
            let places: Vec<usize> =
                columns.iter().map(|c| all.schema().index_of(c).unwrap()).collect();
            all.project(&places).unwrap()
        };
        let items = of(rows(&[], &[], &[])).schema();
        let (mut lane, _) = open(&database, &key("r", 1), &writes, &items).await;
        let bad = of(rows(&[1, 3], &["a", "a"], &[1, 2]));
        let refused = refusal(&mut lane, &unit(0, vec![bad])).await;
        assert_eq!(refused.fault.kind(), Kind::Item, "{mode:?}: {:?}", refused.fault);
        assert_eq!(refused.fault.constraint(), Some("code"), "{mode:?}");
        assert_eq!(server.value(ALL).await, "1/a/10,2/b/20", "{mode:?}");
        commit_any(&mut lane, &unit(0, vec![of(rows(&[1, 2], &["a", "b"], &[1, 2]))])).await;
        let expected = match mode {
            Mode::Upsert => "1/a/1,2/b/2",
            Mode::Ignore => "1/a/10,2/b/20",
            _ => "1/a/11,2/b/22",
        };
        assert_eq!(server.value(ALL).await, expected, "{mode:?}");
    }
}

async fn commit_any(lane: &mut Box<dyn Lane>, unit: &Unit) {
    match settle(lane, unit).await {
        Settled::Committed(_) => {}
        other => panic!("{other:?}"),
    }
}

/// The key need not be the primary one; a counter beside it is no other key.
#[tokio::test]
async fn a_counter_beside_the_key_is_left_alone() {
    let (server, database) = shop(
        "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, code VARCHAR(10) NOT NULL UNIQUE, \
         n BIGINT)",
    )
    .await;
    let of = |code: &[&str], n: &[i64]| {
        batch(vec![("code", texts(code.iter().copied())), ("n", ints(n.iter().copied()))])
    };
    let writes = [write("t", Mode::Upsert, &["code", "n"], &["code"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &of(&[], &[]).schema()).await;
    commit(&mut lane, &unit(0, vec![of(&["a", "b", "a"], &[1, 2, 3])])).await;
    commit(&mut lane, &unit(3, vec![of(&["b"], &[4])])).await;
    let sql = "SELECT group_concat(concat_ws('/', code, n) ORDER BY code) FROM t";
    assert_eq!(server.value(sql).await, "a/3,b/4");
}

/// Whether two keys are one is the column's own idea: its collation, the blanks
/// behind a text, its type.
#[tokio::test]
async fn the_table_says_which_keys_are_equal() {
    let (server, database) =
        shop("CREATE TABLE t (code VARCHAR(10) COLLATE utf8mb4_general_ci PRIMARY KEY, n BIGINT)")
            .await;
    let of = |code: &[&str], n: &[i64]| {
        batch(vec![("code", texts(code.iter().copied())), ("n", ints(n.iter().copied()))])
    };
    let sql = "SELECT group_concat(concat_ws('/', upper(trim(code)), n) ORDER BY code) FROM t";
    let add = [write("t", Mode::Increment, &["code", "n"], &["code"])];
    let (mut lane, _) = open(&database, &key("add", 1), &add, &of(&[], &[]).schema()).await;
    commit(&mut lane, &unit(0, vec![of(&["a", "A", "a ", "b"], &[1, 2, 3, 4])])).await;
    assert_eq!(server.value(sql).await, "A/6,B/4");
    let update = [write("t", Mode::Update, &["code", "n"], &["code"])];
    let (mut lane, _) = open(&database, &key("update", 1), &update, &of(&[], &[]).schema()).await;
    commit(&mut lane, &unit(0, vec![of(&["a", "A", "B "], &[7, 8, 9])])).await;
    assert_eq!(server.value(sql).await, "A/8,B/9");
    let ignore = [write("t", Mode::Ignore, &["code", "n"], &["code"])];
    let (mut lane, _) = open(&database, &key("ignore", 1), &ignore, &of(&[], &[]).schema()).await;
    match settle(&mut lane, &unit(0, vec![of(&["A", "c", "C"], &[1, 2, 3])])).await {
        Settled::Committed(counts) => assert_eq!((counts.processed, counts.duplicate), (1, 2)),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.value(sql).await, "A/8,B/9,C/2");
}

/// Names in any case, with odd letters, in another database; partitions,
/// triggers, generated columns.
#[tokio::test]
async fn tables_of_every_kind_are_written() {
    let (server, database) = shop(
        "CREATE TABLE `o``dd.``; DROP TABLE x` (`I d` BIGINT PRIMARY KEY, `\"n\"` BIGINT,
             twice BIGINT AS (`\"n\"` * 2) STORED, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP)
             PARTITION BY HASH (`I d`) PARTITIONS 3;
         CREATE TABLE log (id BIGINT)",
    )
    .await;
    server
        .execute(
            "CREATE TRIGGER g AFTER INSERT ON `o``dd.``; DROP TABLE x` FOR EACH ROW \
             INSERT INTO log VALUES (NEW.`I d`)",
        )
        .await;
    let name = server.value("SELECT database()").await;
    let table = format!("\"{name}\".\"o`dd.`; DROP TABLE x\"");
    let rows = batch(vec![("i D", ints([1, 2, 1])), ("\"N\"", ints([1, 2, 3]))]);
    let writes = [write(&table, Mode::Upsert, &["i D", "\"N\""], &["I D"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    commit(&mut lane, &unit(0, vec![rows])).await;
    let sql = "SELECT group_concat(concat_ws('/', `I d`, `\"n\"`, twice, made IS NOT NULL) \
               ORDER BY 1) FROM `o``dd.``; DROP TABLE x`";
    assert_eq!(server.value(sql).await, "1/3/6/1,2/2/4/1");
    assert_eq!(server.value("SELECT group_concat(id ORDER BY id) FROM log").await, "1,2");
}
