//! The server names all bad items of a unit at once, and keeps nothing of it.

use arrow_array::{ArrayRef, StringArray};
use kiln_core::{Kind, Mode, Rejection};

use super::*;

const TABLES: &str = "
    CREATE TABLE parent (id int PRIMARY KEY);
    INSERT INTO parent VALUES (1), (2);
    CREATE FUNCTION no_monday() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.day = 'Monday' THEN
                RAISE 'not on a Monday' USING ERRCODE = 'P0001', HINT = 'try Tuesday';
            END IF;
            RETURN NEW;
        END $$;
    CREATE TABLE t (
        id     bigint PRIMARY KEY,
        n      int,
        s      varchar(3),
        day    text NOT NULL,
        code   text UNIQUE,
        parent int REFERENCES parent,
        late   int REFERENCES parent DEFERRABLE INITIALLY DEFERRED,
        price  numeric(4,2) CHECK (price >= 0),
        room   int4range,
        tenth  int GENERATED ALWAYS AS (10 / n) STORED,
        EXCLUDE USING gist (room WITH &&));
    CREATE TRIGGER no_monday BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no_monday();
    INSERT INTO t (id, day, code) VALUES (1000000, 'Sunday', 'taken');";

const COLUMNS: [&str; 9] = ["id", "n", "s", "day", "code", "parent", "late", "price", "room"];

type Line = [Option<String>; 9];

fn good(id: u64) -> Line {
    let room = format!("[{},{})", 10 * id, 10 * id + 5);
    let code = format!("c{id}");
    let id = id.to_string();
    [&id, "5", "abc", "Friday", &code, "1", "2", "9.99", &room].map(|v| Some(v.to_owned()))
}

/// Which value makes an item bad, and what the server says of it: code, column
/// and constraint.
type Wrong =
    (usize, Option<&'static str>, &'static str, Option<&'static str>, Option<&'static str>);

const WRONG: [Wrong; 13] = [
    (0, Some("1000000"), "23505", None, Some("t_pkey")),
    (1, Some("five"), "22P02", Some("n"), None),
    (1, Some("5000000000"), "22003", Some("n"), None),
    (1, Some("0"), "22012", None, None),
    (2, Some("abcd"), "22001", Some("s"), None),
    (3, None, "23502", Some("day"), None),
    (3, Some("Monday"), "P0001", None, None),
    (4, Some("c1"), "23505", None, Some("t_code_key")),
    (5, Some("7"), "23503", None, Some("t_parent_fkey")),
    (6, Some("7"), "23503", None, Some("t_late_fkey")),
    (7, Some("100"), "22003", Some("price"), None),
    (7, Some("-1"), "23514", None, Some("t_price_check")),
    (8, Some("[11,12)"), "23P01", None, Some("t_room_excl")),
];

fn rows(lines: &[Line]) -> RecordBatch {
    let column = |c: usize| -> ArrayRef {
        Arc::new(lines.iter().map(|line| line[c].as_deref()).collect::<StringArray>())
    };
    batch(COLUMNS.iter().enumerate().map(|(c, name)| (*name, column(c))).collect())
}

/// So many items, of which each `every`-th is bad, one way after another.
fn mixed(items: u64, every: u64) -> (Unit, Vec<(u64, usize)>) {
    let mut wrong = Vec::new();
    let line = |id: u64| {
        let mut line = good(id);
        if id.is_multiple_of(every) {
            let which = wrong.len() % WRONG.len();
            let (column, value, ..) = WRONG[which];
            line[column] = value.map(str::to_owned);
            wrong.push((id, which));
        }
        line
    };
    let lines: Vec<Line> = (1..=items).map(line).collect();
    (unit(0, vec![rows(&lines)]), wrong)
}

async fn diagnose(lane: &mut Box<dyn Lane>, unit: &Unit) -> Vec<Rejection> {
    lane.diagnose(unit).await.unwrap().expect("an answer")
}

fn failure(Rejection { ordinal, fault }: Rejection) -> Failure {
    Failure { ordinal, stage: Stage::Write, fault }
}

fn ordinals(named: &[Rejection]) -> Vec<u64> {
    named.iter().map(|r| r.ordinal).collect()
}

#[tokio::test]
async fn every_class_of_error_is_named_with_its_item_and_nothing_is_kept() {
    let (server, database) = shop(TABLES).await;
    for (run, (items, every)) in [(13, 1), (400, 3), (2_000, 100)].into_iter().enumerate() {
        let (unit, wrong) = mixed(items, every);
        let writes = [insert("t", &COLUMNS)];
        let schema = unit.writes[0].batch.schema();
        let (mut lane, _) = open(&database, &key(&run.to_string(), 1), &writes, &schema).await;
        let named = diagnose(&mut lane, &unit).await;
        // What only a bad item would be in the way of is good.
        let expected: Vec<(u64, usize)> = match every {
            1 => wrong.iter().copied().filter(|(id, _)| ![8, 13].contains(id)).collect(),
            _ => wrong.clone(),
        };
        assert_eq!(ordinals(&named), expected.iter().map(|w| w.0).collect::<Vec<_>>());
        for (rejection, (id, which)) in named.iter().zip(&expected) {
            let (_, value, code, column, constraint) = WRONG[*which];
            let fault = &rejection.fault;
            assert_eq!(fault.kind(), Kind::Item, "{id}: {fault}");
            assert_eq!(
                (fault.code(), fault.column(), fault.constraint()),
                (Some(code), column, constraint),
                "{id} {value:?}: {fault}"
            );
            assert!(fault.message().starts_with("t"), "{fault}");
        }
        assert_eq!(server.value("SELECT count(*) FROM t").await, "1");
        let letters = format!("SELECT count(*) FROM kiln.dead_letters WHERE run = '{run}'");
        assert_eq!(server.value(&letters).await, "0");
        assert_eq!(server.value("SELECT max(done) FROM kiln.marks").await, "0");
        let functions = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'kiln%' \
                         AND pronamespace::regnamespace::text NOT LIKE 'pg_temp%'";
        assert_eq!(server.value(functions).await, "0");

        let failures: Vec<Failure> = named.iter().cloned().map(failure).collect();
        let rest = unit.reject(&failures).unwrap();
        commit(&mut lane, &rest).await;
        let kept = server.value("SELECT count(*) - 1 FROM t").await;
        assert_eq!(kept, rest.items.len().to_string());
        let (ledger, id) = (database.ledger(), RunId(run.to_string()));
        let letters = ledger.dead_letters(&id, "main", 0, 9_999).await.unwrap();
        assert_eq!(letters.len(), named.len());
        assert_eq!(letters[0].code.as_deref(), Some(WRONG[0].2));
        server.execute("DELETE FROM t WHERE id < 1000000; UPDATE kiln.marks SET done = 0").await;
    }
}

/// What a refusal makes suspicious is looked at first; nothing else is changed
/// by it, also where others are bad that it says nothing of. The good items are
/// written once, whether they come whole or in parts.
#[tokio::test]
async fn a_refusal_changes_no_diagnosis() {
    let (server, database) = shop(TABLES).await;
    for (which, (column, value, code, ..)) in WRONG.into_iter().enumerate() {
        for others in [0, 1, 2] {
            let line = |id: u64| {
                let mut line = good(id);
                if id % 10 == 7 {
                    line[column] = value.map(str::to_owned);
                } else if id == 255 && others > 0 {
                    let (column, value, ..) = WRONG[(which + others) % WRONG.len()];
                    line[column] = value.map(str::to_owned);
                }
                line
            };
            let lines: Vec<Line> = (1..=300).map(line).collect();
            let unit = unit(0, vec![rows(&lines)]);
            let (writes, schema) = ([insert("t", &COLUMNS)], unit.writes[0].batch.schema());
            let key = key(&format!("{which} {others}"), 1);
            let (mut lane, _) = open(&database, &key, &writes, &schema).await;
            let unasked = diagnose(&mut lane, &unit).await;
            let settled = settle(&mut lane, &unit).await;
            assert!(matches!(settled, Settled::Refused(_)), "{code}: {settled:?}");
            let asked = diagnose(&mut lane, &unit).await;
            let plain = |named: &[Rejection]| -> Vec<String> {
                named
                    .iter()
                    .map(|r| format!("{} {:?} {}", r.ordinal, r.fault.code(), r.fault))
                    .collect()
            };
            assert_eq!(plain(&asked), plain(&unasked), "{code} and {others}");
            assert_eq!(asked.len(), 30 + others.min(1), "{code} and {others}");

            let failures: Vec<Failure> = asked.into_iter().map(failure).collect();
            let rest = unit.reject(&failures).unwrap();
            if which % 2 == 0 {
                commit(&mut lane, &rest).await;
            } else {
                let (first, second) = rest.split(150);
                commit(&mut lane, &first).await;
                commit(&mut lane, &second).await;
            }
            let kept = server.value("SELECT count(*) FROM t WHERE id < 1000000").await;
            assert_eq!(kept, (270 - others.min(1)).to_string(), "{code} and {others}");
            server.execute("DELETE FROM t WHERE id < 1000000").await;
        }
    }
}

/// Foreign keys, checks and unique indexes of several columns, of a partitioned
/// table and with names that need quotes.
#[tokio::test]
async fn constraints_of_several_columns_are_understood() {
    let (_server, database) = shop(
        "CREATE TABLE \"The Parent\" (\"Year\" int, n bigint, PRIMARY KEY (\"Year\", n));
         INSERT INTO \"The Parent\" VALUES (2020, 1), (2021, 2);
         CREATE TABLE parts (\"Year\" int NOT NULL, n bigint, code text COLLATE \"C\",
             CONSTRAINT \"a 'check'\" CHECK (\"Year\" > n OR n IS NULL),
             FOREIGN KEY (n, \"Year\") REFERENCES \"The Parent\" (n, \"Year\"))
             PARTITION BY RANGE (\"Year\");
         CREATE UNIQUE INDEX \"by code\" ON parts (\"Year\", lower(code));
         CREATE UNIQUE INDEX plain ON parts (code, \"Year\");
         CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM (0) TO (2021);
         CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM (2021) TO (3000);",
    )
    .await;
    let columns = ["code", "n", "Year"];
    // The values of a bad item: its own code where none is given.
    for (expected, bad) in [
        ("23503", ["", "9", "2020"]),
        ("23505", ["c1", "2", "2021"]),
        ("23514", ["", "2021", "2021"]),
    ] {
        let line = |id: u64| {
            let good = [format!("c{id}"), (1 + id % 2).to_string(), (2020 + id % 2).to_string()];
            let is_bad = id % 9 == 5;
            match is_bad {
                false => good,
                true if bad[0].is_empty() => [&good[0], bad[1], bad[2]].map(str::to_owned),
                true => bad.map(str::to_owned),
            }
        };
        let lines: Vec<[String; 3]> = (1..=100).map(line).collect();
        let column = |c: usize| -> ArrayRef {
            Arc::new(lines.iter().map(|line| Some(&line[c])).collect::<StringArray>())
        };
        let rows = batch(columns.iter().enumerate().map(|(c, n)| (*n, column(c))).collect());
        let unit = unit(0, vec![rows]);
        let (writes, schema) = ([insert("parts", &columns)], unit.writes[0].batch.schema());
        let (mut lane, _) = open(&database, &key(expected, 1), &writes, &schema).await;
        assert!(matches!(settle(&mut lane, &unit).await, Settled::Refused(_)));
        let named = diagnose(&mut lane, &unit).await;
        let bad: Vec<u64> = (1..=100).filter(|id| id % 9 == 5).collect();
        assert_eq!(ordinals(&named), bad, "{expected}");
        assert!(named.iter().all(|r| r.fault.code() == Some(expected)), "{named:?}");
    }
}

#[tokio::test]
async fn an_item_that_only_comes_too_early_is_good() {
    let (server, database) = shop(
        "CREATE TABLE t (id int PRIMARY KEY, boss int REFERENCES t);
         CREATE TABLE stock (code text PRIMARY KEY, n int CHECK (n >= 0))",
    )
    .await;
    // Everybody's boss comes next, but the 70th's, who never comes.
    let boss = (1..=100i64).map(|id| if id == 70 { 999 } else { (id + 1).min(100) });
    let staff = batch(vec![("id", ints(1..=100)), ("boss", ints(boss))]);
    // More goes out first than comes in later; in the end it is enough.
    let codes = texts(std::iter::repeat_n("a", 100));
    let moved = ints((1..=100i64).map(|id| if id <= 50 { -1 } else { 1 }));
    let stock = batch(vec![("code", codes), ("n", moved)]);
    let writes =
        [insert("t", &["id", "boss"]), write("stock", Mode::Increment, &["code", "n"], &["code"])];
    server.execute("INSERT INTO stock VALUES ('a', 0)").await;
    let items = schema_of(&[&staff, &stock]);
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &items).await;
    let named = diagnose(&mut lane, &unit(0, vec![staff, stock])).await;
    // Whoever's boss does not come can't be there, nor who has them as boss.
    assert_eq!(ordinals(&named), (1..=70).collect::<Vec<_>>());
    assert!(named.iter().all(|r| r.fault.code() == Some("23503")), "{named:?}");
}

#[tokio::test]
async fn all_modes_are_diagnosed() {
    let (server, database) = shop("").await;
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 100));
                 INSERT INTO t SELECT i, 1 FROM generate_series(1, 300) i";
    for mode in [Mode::Upsert, Mode::Ignore, Mode::Update, Mode::Increment] {
        server.execute(&format!("{AFRESH}; {table}")).await;
        let shift = if mode == Mode::Ignore { 1_000 } else { 0 };
        let ids = ints((1..=300).map(|id| id + shift));
        let bad = [7u64, 8, 200, 300];
        let numbers = ints((1..=300).map(|id| if bad.contains(&(id as u64)) { 500 } else { 2 }));
        let rows = batch(vec![("id", ids), ("n", numbers)]);
        let writes = [write("t", mode, &["id", "n"], &["id"])];
        let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
        let unit = unit(0, vec![rows]);
        let (fault, _) = refused(&mut lane, &unit).await;
        assert_eq!(fault.code(), Some("23514"), "{mode:?}: {fault}");
        let named = diagnose(&mut lane, &unit).await;
        assert_eq!(ordinals(&named), bad, "{mode:?}: {named:?}");
        assert!(named.iter().all(|r| r.fault.constraint() == Some("t_n_check")), "{named:?}");
        assert_eq!(server.value("SELECT sum(n) FROM t").await, "300", "{mode:?}");
    }
    server
        .execute(&format!(
            "{AFRESH}; {table}; CREATE TABLE c (t int REFERENCES t); INSERT INTO c VALUES (3), (4)"
        ))
        .await;
    let rows = batch(vec![("id", ints(1..=300))]);
    let writes = [write("t", Mode::Delete, &["id"], &["id"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    let named = diagnose(&mut lane, &unit(0, vec![rows])).await;
    assert_eq!(ordinals(&named), [3, 4], "{named:?}");
}

/// B16: what concerns all items makes no dead letter.
#[tokio::test]
async fn a_fault_of_the_system_names_no_item() {
    let (server, database) = shop("CREATE TABLE t (id int, note text)").await;
    let rows = batch(vec![("id", ints(1..=100)), ("note", texts(["x"; 100]))]);
    let writes = [insert("t", &["id", "note"])];
    for (code, kind) in [("53100", Kind::Io), ("42501", Kind::NotPermitted), ("XX000", Kind::Io)] {
        server
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF NEW.id = 50 THEN RAISE SQLSTATE '{code}'; END IF; RETURN NEW; END $$;
                 DROP TRIGGER IF EXISTS f ON t;
                 CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
            ))
            .await;
        let (mut lane, _) = open(&database, &key(code, 1), &writes, &rows.schema()).await;
        let fault = lane.diagnose(&unit(0, vec![rows.clone()])).await.unwrap_err();
        assert_eq!(fault.kind(), kind, "{fault}");
        assert_eq!(server.value("SELECT count(*) FROM t").await, "0");
    }
    // What may pass is met again by whoever tries the parts.
    server
        .execute(
            "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                      RAISE SQLSTATE '40001'; END $$",
        )
        .await;
    let (mut lane, _) = open(&database, &key("busy", 1), &writes, &rows.schema()).await;
    assert!(lane.diagnose(&unit(0, vec![rows.clone()])).await.unwrap().is_none());
    server.execute("DROP TRIGGER f ON t").await;
    commit(&mut lane, &unit(0, vec![rows])).await;
}

/// The others are written, then the suspected item meets what concerns all: they
/// must not commit with what comes next.
#[tokio::test]
async fn what_a_broken_off_diagnosis_wrote_is_undone() {
    let (server, database) = shop("").await;
    for (code, kind) in [("40001", None), ("40P01", None), ("53100", Some(Kind::Io))] {
        server
            .execute(&format!(
                "{AFRESH}; CREATE TABLE t (id int, code text UNIQUE);
                 INSERT INTO t VALUES (0, 'taken');
                 CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF NEW.code = 'taken' THEN RAISE SQLSTATE '{code}'; END IF; RETURN NEW;
                 END $$"
            ))
            .await;
        let codes = (1..=100).map(|id| (id == 30).then_some("taken"));
        let codes: ArrayRef = Arc::new(codes.collect::<StringArray>());
        let rows = batch(vec![("id", ints(1..=100)), ("code", codes)]);
        let writes = [insert("t", &["id", "code"])];
        let (mut lane, _) = open(&database, &key(code, 1), &writes, &rows.schema()).await;
        let whole = unit(0, vec![rows]);
        assert_eq!(refused(&mut lane, &whole).await.0.code(), Some("23505"));

        let trigger = "CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()";
        server.execute(trigger).await;
        match (lane.diagnose(&whole).await, kind) {
            (Ok(named), None) => assert!(named.is_none(), "{named:?}"),
            (Err(fault), Some(kind)) => assert_eq!(fault.kind(), kind, "{fault}"),
            other => panic!("{code}: {other:?}"),
        }
        server.execute("DROP TRIGGER f ON t").await;
        let fault = Fault::new(Kind::Item, "taken");
        let good = whole.reject(&[failure(Rejection { ordinal: 30, fault })]).unwrap();
        commit(&mut lane, &good).await;
        assert_eq!(
            server.value("SELECT count(*) || ' ' || count(DISTINCT id) FROM t").await,
            "100 100"
        );
    }
}

#[tokio::test]
async fn names_and_values_stay_names_and_values() {
    let (server, database) = shop(
        r#"CREATE SCHEMA "my $kiln$ shop";
           CREATE TABLE "my $kiln$ shop"."t'; --" ("a'; DROP TABLE x; --" int, "kiln_code" text,
               "$kiln$" text NOT NULL);
           CREATE TABLE x (id int)"#,
    )
    .await;
    let columns = ["a'; DROP TABLE x; --", "kiln_code", "$kiln$"];
    let write = Write {
        table: TableName { schema: Some("my $kiln$ shop".into()), name: "t'; --".into() },
        ..insert("t", &columns)
    };
    let rows = batch(vec![
        (columns[0], texts(["1", "two", "3"])),
        (columns[1], texts(["'; --", "$kiln$", "\\"])),
        (columns[2], Arc::new(StringArray::from(vec![Some("\\N"), Some("{}"), None])) as ArrayRef),
    ]);
    let (mut lane, _) = open(&database, &key("r", 1), &[write], &rows.schema()).await;
    let named = diagnose(&mut lane, &unit(0, vec![rows])).await;
    let found: Vec<_> = named.iter().map(|r| (r.ordinal, r.fault.column())).collect();
    assert_eq!(found, [(2, Some(columns[0])), (3, Some(columns[2]))], "{named:?}");
    assert_eq!(server.value("SELECT count(*) FROM x").await, "0");
}

#[tokio::test]
async fn who_may_make_no_function_is_told_nothing() {
    let (server, database) = shop("CREATE TABLE t (id int CHECK (id < 3))").await;
    let name = server.value("SELECT current_database()").await;
    let role = format!("{name}_poor");
    let rows = batch(vec![("id", ints(1..=4))]);
    let (mut lane, _) =
        open(&database, &key("r", 1), &[insert("t", &["id"])], &rows.schema()).await;
    assert_eq!(ordinals(&diagnose(&mut lane, &unit(0, vec![rows.clone()])).await), [3, 4]);
    server
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; REVOKE TEMP ON DATABASE {name} FROM PUBLIC;
             GRANT USAGE ON SCHEMA kiln TO {role};
             GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public, kiln TO {role}"
        ))
        .await;
    let (_, place) = server.url.split_once('@').unwrap();
    let poor = connect(&format!("postgres://{role}@{place}"), None).await.unwrap();
    let (mut lane, _) = open(&poor, &key("r", 2), &[insert("t", &["id"])], &rows.schema()).await;
    assert!(lane.diagnose(&unit(0, vec![rows.clone()])).await.unwrap().is_none());
    commit(&mut lane, &unit(0, vec![rows.slice(0, 2)])).await;
    server.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
