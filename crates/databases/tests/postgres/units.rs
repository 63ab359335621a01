//! A unit commits whole, once, and only in its turn.

use arrow_array::{ArrayRef, StringArray};
use kiln_core::{Counts, Kind, Mode, Settled};
use kiln_databases::connect;

use super::*;

const TABLES: &str = "
    CREATE TABLE sale (id bigint PRIMARY KEY, note text NOT NULL CHECK (note <> 'bad'));
    CREATE TABLE stock (code text PRIMARY KEY, n bigint);";

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
        server.value("SELECT coalesce(string_agg(id || note, ',' ORDER BY id), '') FROM sale").await,
        server.value("SELECT coalesce(string_agg(code || n, ',' ORDER BY code), '') FROM stock").await,
        server.value("SELECT count(*) FROM kiln.dead_letters").await,
        server.value("SELECT coalesce(string_agg(concat_ws('/', done, place, read, processed, filtered, failed), ','), '') FROM kiln.marks").await,
    ]
}

#[tokio::test]
async fn rows_sums_dead_letters_counts_and_mark_commit_together() {
    let (server, database) = shop(TABLES).await;
    let (mut lane, mark) = open(&database, &key("r", 1), &writes(), &items()).await;
    assert_eq!(mark, Mark::default());

    let mut first = sales(0, &[Some("a"), Some("b"), Some("c")]);
    first.dead_letters.push(dead_letter(4, "x"));
    first.filtered.push(5);
    first.span.to = 5;
    first.end.position.ordinal = 5;
    commit(&mut lane, &first).await;
    commit(&mut lane, &sales(5, &[Some("f")])).await;

    assert_eq!(
        state(&server).await,
        ["1a,2b,3c,6f", "even2,odd2", "1", "6/byte=6/6/4/1/1"].map(str::to_owned)
    );
    let (_, mark) = open(&database, &key("r", 1), &writes(), &items()).await;
    let counts = Counts { read: 6, processed: 4, filtered: 1, duplicate: 0, failed: 1 };
    assert_eq!((mark.done, mark.counts), (6, counts));
    assert_eq!(mark.checkpoint, sales(5, &[Some("f")]).end);
    assert_eq!(database.ledger().marks(&RunId("r".into()), "main").await.unwrap(), [(0, mark)]);
}

#[tokio::test]
async fn the_parts_of_a_unit_give_what_the_whole_gives() {
    let notes = [Some("a"), Some("b"), Some("c"), Some("d"), Some("e")];
    let (whole, database) = shop(TABLES).await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    commit(&mut lane, &sales(0, &notes)).await;
    let (parts, database) = shop("").await;
    for at in 1..5 {
        parts.execute(AFRESH).await;
        parts.execute(TABLES).await;
        let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
        let (first, second) = sales(0, &notes).split(at);
        commit(&mut lane, &first).await;
        commit(&mut lane, &second).await;
        assert_eq!(state(&parts).await, state(&whole).await, "split at {at}");
    }
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
    assert_eq!((fault.kind(), fault.code(), ordinal), (Kind::Item, Some("23502"), Some(3)));
    assert_eq!(fault.column(), Some("note"));
    assert_eq!(state(&server).await, before);

    let behind = refused(&mut lane, &sales(5, &[Some("z")])).await.0;
    assert_eq!(behind.kind(), Kind::Bug, "{behind}");
    assert_eq!(state(&server).await, before);
    commit(&mut lane, &sales(1, &[Some("b")])).await;
    assert_eq!(server.value("SELECT count(*) FROM sale").await, "2");
}

#[tokio::test]
async fn the_bad_row_is_named_wherever_it_is() {
    let (_server, database) = shop(TABLES).await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    const ROWS: usize = 5_000;
    for at in [1, 2, ROWS / 2, 1_001, ROWS] {
        let mut notes = vec![Some("fine"); ROWS];
        notes[at - 1] = Some("bad");
        let (fault, ordinal) = refused(&mut lane, &sales(0, &notes)).await;
        assert_eq!((fault.kind(), ordinal), (Kind::Item, Some(at as u64)), "{fault}");
        assert_eq!(fault.constraint(), Some("sale_note_check"));
    }
    // A row that is there twice is found by the unique index, row by row too.
    let mut twice = sales(0, &vec![Some("fine"); 2_000]);
    let mut ids: Vec<i64> = (1..=2_000).collect();
    ids[1_499] = 7;
    let note = twice.writes[0].batch.column(1).clone();
    twice.writes[0].batch = batch(vec![("id", ints(ids)), ("note", note)]);
    let (fault, ordinal) = refused(&mut lane, &twice).await;
    assert_eq!((fault.code(), ordinal), (Some("23505"), Some(1_500)), "{fault}");
    assert_eq!(fault.constraint(), Some("sale_pkey"));
    assert!(!fault.message().contains("(7)"), "no data in {fault}");
}

#[tokio::test]
async fn a_value_the_server_can_not_read_names_row_and_column() {
    let (_server, database) = shop("CREATE TABLE t (a text, n integer)").await;
    let rows = batch(vec![("a", texts(["x", "line 1", "z"])), ("n", texts(["1", "two", "3"]))]);
    let writes = [insert("t", &["a", "n"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    let (fault, ordinal) = refused(&mut lane, &unit(10, vec![rows])).await;
    assert_eq!((fault.code(), fault.column(), ordinal), (Some("22P02"), Some("n"), Some(12)));
    assert!(fault.message().starts_with("t.n: "), "{fault}");
}

#[tokio::test]
async fn an_error_at_commit_is_a_refusal() {
    let (server, database) = shop(
        "CREATE TABLE p (id bigint PRIMARY KEY);
         CREATE TABLE c (p bigint REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let rows = batch(vec![("p", ints([1]))]);
    let (mut lane, _) = open(&database, &key("r", 1), &[insert("c", &["p"])], &rows.schema()).await;
    let (fault, _) = refused(&mut lane, &unit(0, vec![rows.clone()])).await;
    assert_eq!((fault.kind(), fault.constraint()), (Kind::Item, Some("c_p_fkey")), "{fault}");
    server.execute("INSERT INTO p VALUES (1)").await;
    commit(&mut lane, &unit(0, vec![rows])).await;
}

#[tokio::test]
async fn a_higher_epoch_fences_the_lower_one() {
    let (server, database) = shop(TABLES).await;
    let (mut old, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    commit(&mut old, &sales(0, &[Some("a")])).await;
    let other = connect(&server.url, None).await.unwrap();
    let (mut new, mark) = open(&other, &key("r", 2), &writes(), &items()).await;
    assert_eq!(mark.done, 1);
    let (fault, _) = refused(&mut old, &sales(1, &[Some("old")])).await;
    assert_eq!(fault.kind(), Kind::Fenced);
    commit(&mut new, &sales(1, &[Some("new")])).await;
    let late = database.sink().open(&key("r", 1), &writes(), &items()).await.err().unwrap();
    assert_eq!(late.kind(), Kind::Fenced);
    assert_eq!(server.value("SELECT string_agg(note, ',' ORDER BY id) FROM sale").await, "a,new");
}

#[tokio::test]
async fn taking_over_waits_for_the_commit_in_flight() {
    let (server, database) = shop(
        "CREATE TABLE t (id bigint);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .await;
    let rows = batch(vec![("id", ints([1]))]);
    let writes = [insert("t", &["id"])];
    let (mut old, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    let one = unit(0, vec![rows.clone()]);
    let committing = tokio::spawn(async move { commit(&mut old, &one).await });
    // Until the old lane is in its COMMIT, with the mark written.
    let sleeping = "SELECT count(*) FROM pg_stat_activity \
                    WHERE wait_event = 'PgSleep' AND datname = current_database()";
    while server.value(sleeping).await == "0" {
        tokio::task::yield_now().await;
    }
    let (_, mark) = open(&database, &key("r", 2), &writes, &rows.schema()).await;
    assert_eq!(mark.done, 1, "the commit in flight is seen");
    committing.await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_transient_and_the_mark_tells() {
    let (server, database) = shop(TABLES).await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    commit(&mut lane, &sales(0, &[Some("a")])).await;
    server
        .query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    for _ in 0..2 {
        match settle(&mut lane, &sales(1, &[Some("b")])).await {
            Settled::Unknown(fault) => assert!(fault.is_transient(), "{fault:?}"),
            Settled::Refused(refusal) => {
                assert!(refusal.fault.is_transient(), "{refusal:?}");
                assert_eq!(refusal.fault.kind(), Kind::Unreachable);
            }
            Settled::Committed(_) => panic!("committed without a connection"),
        }
    }
    let (mut lane, mark) = open(&database, &key("r", 1), &writes(), &items()).await;
    assert_eq!(mark.done, 1);
    commit(&mut lane, &sales(1, &[Some("b")])).await;
    assert_eq!(server.value("SELECT string_agg(note, '' ORDER BY id) FROM sale").await, "ab");
}

#[tokio::test]
async fn a_wait_for_an_answer_that_was_dropped_is_taken_up_again() {
    let (server, database) = shop(
        "CREATE TABLE t (id bigint);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END';
         CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .await;
    let rows = batch(vec![("id", ints([1]))]);
    let writes = [insert("t", &["id"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    let one = unit(0, vec![rows.clone()]);
    lane.submit(Arc::new(one.clone())).await;
    let brief = std::time::Duration::from_millis(100);
    tokio::time::timeout(brief, lane.settle()).await.unwrap_err();
    match lane.settle().await {
        Settled::Committed(counts) => assert_eq!(counts, one.counts()),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.value("SELECT count(*) FROM t").await, "1");
}

#[tokio::test]
async fn deadlocks_and_serialization_failures_are_transient() {
    let (server, database) = shop("").await;
    for code in ["40001", "40P01", "55P03", "57014"] {
        server.execute(AFRESH).await;
        let tables = format!(
            "CREATE TABLE t (id bigint);
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE SQLSTATE '{code}'; END $$;
             CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
        );
        server.execute(&tables).await;
        let rows = batch(vec![("id", ints([1]))]);
        let (mut lane, _) =
            open(&database, &key("r", 1), &[insert("t", &["id"])], &rows.schema()).await;
        let (fault, _) = refused(&mut lane, &unit(0, vec![rows.clone()])).await;
        assert_eq!((fault.kind(), fault.is_transient()), (Kind::Busy, true), "{code}");
        server.execute("DROP TRIGGER f ON t").await;
        commit(&mut lane, &unit(0, vec![rows])).await;
    }
}

#[tokio::test]
async fn what_concerns_all_rows_is_never_an_items_fault() {
    let (server, database) = shop(TABLES).await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    server.execute("ALTER TABLE sale RENAME TO gone").await;
    let (fault, ordinal) = refused(&mut lane, &sales(0, &[Some("a")])).await;
    assert_eq!((fault.kind(), ordinal), (Kind::Config, None), "{fault}");
    server.execute("ALTER TABLE gone RENAME TO sale").await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    commit(&mut lane, &sales(0, &[Some("a")])).await;
}

#[tokio::test]
async fn settling_without_a_unit_is_our_bug() {
    let (_server, database) = shop(TABLES).await;
    let (mut lane, _) = open(&database, &key("r", 1), &writes(), &items()).await;
    match lane.settle().await {
        Settled::Unknown(fault) => assert_eq!(fault.kind(), Kind::Bug),
        other => panic!("{other:?}"),
    }
}
