//! A unit commits whole, once, and only in its turn.

use arrow_array::StringArray;
use kiln_core::{Kind, Mode};

use super::*;

const TABLES: &str = "
    CREATE TABLE sale (id BIGINT PRIMARY KEY, note VARCHAR(10) NOT NULL,
                       CONSTRAINT few CHECK (note <> 'bad'));
    CREATE TABLE stock (code VARCHAR(10) PRIMARY KEY, n BIGINT)";

fn writes() -> Vec<Write> {
    vec![
        insert("sale", &["id", "note"]),
        write("stock", Mode::Increment, &["code", "n"], &["code"]),
    ]
}

/// Sales with these notes behind ordinal `from`, and one piece for each.
fn sales(from: u64, notes: &[Option<&str>]) -> Unit {
    let ids = from as i64 + 1..=from as i64 + notes.len() as i64;
    let notes: ArrayRef = Arc::new(StringArray::from(notes.to_vec()));
    let codes = ids.clone().map(|id| if id % 2 == 0 { "even" } else { "odd" });
    unit(
        from,
        vec![
            batch(vec![("id", ints(ids.clone())), ("note", notes)]),
            batch(vec![("code", texts(codes)), ("n", ints(ids.map(|_| 1)))]),
        ],
    )
}

fn items() -> SchemaRef {
    let unit = sales(0, &[Some("x")]);
    schema_of(&[&unit.writes[0].batch, &unit.writes[1].batch])
}

async fn state(server: &TestDatabase) -> [String; 4] {
    [
        server
            .value("SELECT coalesce(group_concat(concat(id, note) ORDER BY id), '') FROM sale")
            .await,
        server
            .value("SELECT coalesce(group_concat(concat(code, n) ORDER BY code), '') FROM stock")
            .await,
        server.value("SELECT count(*) FROM kiln_dead_letters").await,
        server
            .value(
                "SELECT coalesce(group_concat(concat_ws('/', done, place, m.read, processed, \
                 filtered, failed)), '') FROM kiln_marks m",
            )
            .await,
    ]
}

#[tokio::test]
async fn rows_sums_dead_letters_counts_and_mark_commit_together() {
    let (server, database) = shop(TABLES).await;
    let (mut lane, mark) = open(&database, &key("r", 1), &writes(), &items()).await;
    assert_eq!(mark, Mark::default());
    let mut first = sales(0, &[Some("a"), Some("b"), Some("c")]);
    first.dead_letters.push(dead_letter(4, "x\0\\'é🔥"));
    first.filtered.push(5);
    first.span.to = 5;
    first.end.position.ordinal = 5;
    commit(&mut lane, &first).await;
    commit(&mut lane, &sales(5, &[Some("f")])).await;
    assert_eq!(
        state(&server).await,
        ["1a,2b,3c,6f", "even2,odd2", "1", "6/byte=6/6/4/1/1"].map(str::to_owned)
    );
    let run = RunId("r".into());
    let letters = database.ledger().dead_letters(&run, "main", 0, 9).await.unwrap();
    assert_eq!(letters[0].origin, first.dead_letters[0].origin);
}

#[tokio::test]
async fn a_refused_unit_leaves_nothing_and_the_lane_goes_on() {
    let (server, database) = shop(TABLES).await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    commit(&mut lane, &sales(0, &[Some("a")])).await;
    let before = state(&server).await;
    let mut bad = sales(1, &[Some("b"), None, Some("d")]);
    bad.dead_letters.push(dead_letter(5, "x"));
    bad.span.to = 5;
    let (fault, ordinal) = refused(&mut lane, &bad).await;
    assert_eq!((fault.kind(), fault.code(), ordinal), (Kind::Item, Some("1048"), Some(3)));
    assert_eq!(fault.column(), Some("note"));
    assert_eq!(state(&server).await, before);
    let behind = refused(&mut lane, &sales(5, &[Some("z")])).await.0;
    assert_eq!(behind.kind(), Kind::Bug, "{behind}");
    commit(&mut lane, &sales(1, &[Some("b")])).await;
    assert_eq!(server.value("SELECT count(*) FROM sale").await, "2");
}

#[tokio::test]
async fn the_bad_row_is_named_wherever_it_is() {
    let (server, database) = shop(TABLES).await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    const ROWS: usize = 3_000;
    for at in [1, 2, ROWS / 2, ROWS] {
        let mut notes = vec![Some("fine"); ROWS];
        notes[at - 1] = Some("bad");
        let (fault, ordinal) = refused(&mut lane, &sales(0, &notes)).await;
        assert_eq!((fault.kind(), ordinal), (Kind::Item, Some(at as u64)), "{fault}");
        assert_eq!(fault.constraint(), Some("few"));
        notes[at - 1] = Some("much too long");
        let (fault, ordinal) = refused(&mut lane, &sales(0, &notes)).await;
        assert_eq!((fault.code(), ordinal), (Some("1406"), Some(at as u64)), "{fault}");
    }
    let mut twice = sales(0, &vec![Some("fine"); 2_000]);
    let mut ids: Vec<i64> = (1..=2_000).collect();
    ids[1_499] = 7_777_777;
    ids[1_700] = 7_777_777;
    let note = twice.writes[0].batch.column(1).clone();
    twice.writes[0].batch = batch(vec![("id", ints(ids)), ("note", note)]);
    let (fault, ordinal) = refused(&mut lane, &twice).await;
    assert_eq!((fault.code(), ordinal), (Some("1062"), Some(1_701)), "{fault}");
    assert_eq!(fault.constraint(), Some("PRIMARY"));
    assert!(!fault.message().contains("777"), "no data in {fault}");
    assert_eq!(server.value("SELECT count(*) FROM sale").await, "0");
}

/// Statements end where the server's packets do, and rows keep their numbers.
#[tokio::test]
async fn rows_larger_than_a_statement_go_one_after_another() {
    let (server, database) =
        shop("CREATE TABLE t (id BIGINT PRIMARY KEY, body LONGTEXT NOT NULL)").await;
    let body = "x'\\".repeat(200_000);
    let rows =
        |n: i64| batch(vec![("id", ints(1..=n)), ("body", texts((0..n).map(|_| body.as_str())))]);
    let writes = [insert("t", &["id", "body"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows(1).schema()).await;
    commit(&mut lane, &unit(0, vec![rows(7)])).await;
    let sums = server.value("SELECT sum(char_length(body)) FROM t").await;
    assert_eq!(sums, (7 * body.len()).to_string());
    let (fault, ordinal) = refused(&mut lane, &unit(7, vec![rows(7)])).await;
    assert_eq!((fault.code(), ordinal), (Some("1062"), Some(8)), "{fault}");
    let huge = "x".repeat(17 << 20);
    let all = texts(["small", huge.as_str()]);
    let too_large = batch(vec![("id", ints([100, 101])), ("body", all)]);
    let (fault, ordinal) = refused(&mut lane, &unit(7, vec![too_large])).await;
    assert_eq!((fault.kind(), ordinal), (Kind::Item, Some(9)), "{fault}");
    commit(&mut lane, &unit(7, vec![batch(vec![("id", ints([9])), ("body", texts(["y"]))])])).await;
}

/// All bad items of a chunk are named at once, each with its own reason.
#[tokio::test]
async fn diagnosis_names_every_class_of_error() {
    let (server, database) = shop(
        "CREATE TABLE parent (id BIGINT PRIMARY KEY); INSERT INTO parent VALUES (1);
         CREATE TABLE t (id BIGINT PRIMARY KEY, parent BIGINT NOT NULL, n TINYINT, v VARCHAR(3),
             d DECIMAL(5,2), at DATETIME, CONSTRAINT few CHECK (n < 100),
             FOREIGN KEY (parent) REFERENCES parent (id));
         CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW
             IF NEW.v = 'no' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not that'; END IF",
    )
    .await;
    const ROWS: usize = 600;
    let names = ["id", "parent", "n", "v", "d", "at"];
    let good = ["", "1", "1", "abc", "1.25", "2020-01-01 00:00:00"];
    let mut cells: Vec<Vec<String>> =
        good.iter().map(|text| vec![(*text).to_owned(); ROWS]).collect();
    cells[0] = (1..=ROWS).map(|id| id.to_string()).collect();
    let bad = [
        (0, 3, "2", "1062"),
        (1, 50, "7", "1452"),
        (2, 51, "300", "1264"),
        (2, 52, "100", "4025"),
        (3, 200, "abcd", "1406"),
        (3, 201, "no", "1644"),
        (4, 300, "1.255", "1265"),
        (4, 301, "x", "1366"),
        (5, 599, "2020-02-30 00:00:00", "1292"),
        (2, 600, "1.5", "1366"),
    ];
    for (column, item, text, _) in bad {
        cells[column][item - 1] = text.to_owned();
    }
    let columns = names.iter().zip(&cells);
    let rows = batch(columns.map(|(n, c)| (*n, texts(c.iter().map(String::as_str)))).collect());
    let writes = [insert("t", &names)];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    let whole = unit(0, vec![rows]);
    let named = lane.diagnose(&whole).await.unwrap().unwrap();
    let mut found: Vec<(u64, &str)> =
        named.iter().map(|r| (r.ordinal, r.fault.code().unwrap())).collect();
    found.sort_unstable();
    let mut expected: Vec<(u64, &str)> = bad.iter().map(|b| (b.1 as u64, b.3)).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(server.value("SELECT count(*) FROM t").await, "0");
    let failures: Vec<Failure> = named
        .into_iter()
        .map(|r| Failure { ordinal: r.ordinal, stage: Stage::Write, fault: r.fault })
        .collect();
    commit(&mut lane, &whole.reject(&failures).unwrap()).await;
    assert_eq!(server.value("SELECT count(*) FROM t").await, "590");
}
