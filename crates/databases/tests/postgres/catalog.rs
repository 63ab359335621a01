//! Rows that items refer to.

use arrow_array::{ArrayRef, Decimal128Array, StringArray};
use kiln_core::{CatalogSpec, Key, Kind};
use kiln_databases::connect;

use super::*;

const ITEMS: &str = "
    CREATE TABLE items (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL,
                        name varchar(8) CHECK (name <> 'bad'), UNIQUE (code));";

fn spec(table: &str, key: &str, on: &[&str], create: &[&str]) -> CatalogSpec {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    CatalogSpec {
        table: TableName::parse(table).unwrap(),
        key: key.into(),
        on: owned(on),
        compare: Vec::new(),
        create: owned(create),
    }
}

fn items() -> CatalogSpec {
    spec("items", "id", &["code"], &["code", "name"])
}

fn goods(rows: &[(&str, &str)]) -> RecordBatch {
    let (codes, names): (Vec<&str>, Vec<&str>) = rows.iter().copied().unzip();
    batch(vec![("code", texts(codes)), ("name", texts(names))])
}

fn good(keys: Vec<Result<Key, Fault>>) -> Vec<Key> {
    keys.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn rows_are_found_or_created_in_order() {
    let (server, database) = shop(ITEMS).await;
    let catalog = database.catalog(items());
    assert!(catalog.key_is_integer().await.unwrap());
    assert_eq!(catalog.load().await.unwrap(), []);
    let first =
        catalog.find_or_create(&goods(&[("b", "B"), ("a", "A"), ("b", "B2")])).await.unwrap();
    assert_eq!(good(first), [Key::Int(1), Key::Int(2), Key::Int(1)]);
    let second = catalog.find_or_create(&goods(&[("a", "other"), ("c", "C")])).await.unwrap();
    let keys = good(second);
    assert_eq!(keys[0], Key::Int(2), "a row that is there stays as it is");
    let mut loaded = catalog.load().await.unwrap();
    loaded.sort_by_key(|(_, on)| on[0].clone());
    let expected = [("a", Key::Int(2)), ("b", Key::Int(1)), ("c", keys[1].clone())];
    assert_eq!(loaded, expected.map(|(code, key)| (key, vec![Some(code.to_owned())])));
    assert_eq!(
        server.value("SELECT string_agg(code || name, ',' ORDER BY id) FROM items").await,
        "bB,aA,cC"
    );
    assert_eq!(good(catalog.find_or_create(&goods(&[])).await.unwrap()), []);
}

#[tokio::test]
async fn keys_may_be_text_and_several_columns_may_find_a_row() {
    let (_server, database) = shop(
        "CREATE TABLE shelf (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, hall int, place numeric(6,2),
                             tags text[] NOT NULL, UNIQUE (place, hall))",
    )
    .await;
    let catalog =
        database.catalog(spec("shelf", "id", &["hall", "place"], &["hall", "place", "tags"]));
    assert!(!catalog.key_is_integer().await.unwrap());
    let place = |digits: Vec<i128>| -> ArrayRef {
        Arc::new(Decimal128Array::from(digits).with_precision_and_scale(9, 3).unwrap())
    };
    let rows = |digits: Vec<i128>| {
        let n = digits.len();
        batch(vec![
            ("hall", ints(vec![7; n])),
            ("place", place(digits)),
            ("tags", texts(vec!["{a,b}"; n])),
        ])
    };
    let keys = good(catalog.find_or_create(&rows(vec![1_500, 1_510, 1_500])).await.unwrap());
    assert!(matches!(&keys[0], Key::Text(uuid) if uuid.len() == 36), "{keys:?}");
    assert_eq!((keys[0] == keys[2], keys[0] == keys[1]), (true, false));
    assert_eq!(good(catalog.find_or_create(&rows(vec![1_510])).await.unwrap()), [keys[1].clone()]);
    let rounded = catalog.find_or_create(&rows(vec![1_501, 1_500])).await.unwrap();
    assert_eq!(rounded[0].as_ref().unwrap_err().kind(), Kind::Item);
    assert_eq!(rounded[1].as_ref().unwrap(), &keys[0]);
    assert_eq!(catalog.load().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_row_keeps_no_other_from_being_created() {
    let (server, database) = shop(ITEMS).await;
    let catalog = database.catalog(items());
    let rows = goods(&[("a", "A"), ("b", "bad"), ("c", "much too long"), ("d\0", "D"), ("e", "E")]);
    let answers = catalog.find_or_create(&rows).await.unwrap();
    let codes: Vec<Option<&str>> =
        answers.iter().map(|a| a.as_ref().err().map(|f| f.code().unwrap())).collect();
    assert_eq!(codes, [None, Some("23514"), Some("22001"), Some("22021"), None]);
    assert!(answers.iter().flat_map(|a| a.as_ref().err()).all(|f| f.kind() == Kind::Item));
    assert_eq!(server.value("SELECT string_agg(code, ',' ORDER BY code) FROM items").await, "a,e");
    // What is there is found, even with values that could not be created.
    let found = catalog.find_or_create(&goods(&[("a", "bad")])).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap(), answers[0].as_ref().unwrap());
    // A value of the wrong type fails alone too.
    let (_server, database) = shop("CREATE TABLE n (id serial, code int UNIQUE)").await;
    let catalog = database.catalog(spec("n", "id", &["code"], &["code"]));
    let answers =
        catalog.find_or_create(&batch(vec![("code", texts(["1", "x", "2"]))])).await.unwrap();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

#[tokio::test]
async fn a_trigger_that_drops_or_changes_a_row_fails_its_item() {
    let (_server, database) = shop(&format!(
        "{ITEMS} CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN IF NEW.code = 'no' THEN RETURN NULL; END IF; RETURN NEW; END $$;
         CREATE TRIGGER f BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION f()"
    ))
    .await;
    let catalog = database.catalog(items());
    let answers = catalog.find_or_create(&goods(&[("no", "N"), ("yes", "Y")])).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap_err().kind(), Kind::Item);
    assert_eq!(answers[1].as_ref().unwrap(), &Key::Int(2));
}

#[tokio::test]
async fn many_that_create_the_same_rows_find_the_same_keys() {
    let (server, _) = shop(ITEMS).await;
    let tasks = (0..6).map(|n| {
        let url = server.url.clone();
        tokio::spawn(async move {
            let catalog = connect(&url, None).await.unwrap().catalog(items());
            let mut codes: Vec<String> = (0..200).map(|i| format!("{i:03}")).collect();
            if n % 2 == 1 {
                codes.reverse();
            }
            let rows: Vec<(&str, &str)> = codes.iter().map(|c| (c.as_str(), "x")).collect();
            let keys = good(catalog.find_or_create(&goods(&rows)).await.unwrap());
            codes.into_iter().zip(keys).collect::<std::collections::BTreeMap<_, _>>()
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.push(task.await.unwrap());
    }
    assert!(all.iter().all(|keys| keys == &all[0]));
    assert_eq!(server.value("SELECT count(*) FROM items").await, "200");
}

#[tokio::test]
async fn a_table_that_can_be_no_catalog_is_told() {
    let (_server, database) = shop(
        "CREATE TABLE a (id serial, code text, name text);
         CREATE TABLE b (id serial, code text, name text, UNIQUE (code, name));
         CREATE TABLE c (id int, code text UNIQUE);
         CREATE TABLE d (id serial, code text UNIQUE, must text NOT NULL);
         CREATE TABLE e (id serial, code text, deleted bool);
         CREATE UNIQUE INDEX ON e (code) WHERE NOT deleted;
         CREATE TABLE f (id serial, code text UNIQUE, up text GENERATED ALWAYS AS (upper(code)) STORED);
         CREATE TABLE g (id serial, code text UNIQUE DEFERRABLE);",
    )
    .await;
    let cases: [(&str, &[&str], &[&str], &str); 10] = [
        ("nowhere", &["code"], &["code"], "no table nowhere"),
        ("a", &["code"], &["code"], "no unique constraint"),
        ("b", &["code"], &["code"], "no unique constraint"),
        ("b", &["cod"], &["cod"], "no column cod"),
        ("c", &["code"], &["code"], "would get no id"),
        ("d", &["code"], &["code"], "must is NOT NULL"),
        ("e", &["code"], &["code"], "no unique constraint"),
        ("f", &["code"], &["code", "up"], "is generated"),
        ("g", &["code"], &["code"], "no unique constraint"),
        ("b", &["code", "name"], &["code"], "create must name"),
    ];
    for (table, on, create, message) in cases {
        let catalog = database.catalog(spec(table, "id", on, create));
        let fault = catalog.key_is_integer().await.unwrap_err();
        assert_eq!(fault.kind(), Kind::Config);
        assert!(fault.message().contains(message), "{table}: {fault}");
    }
    let (_server, database) = shop("CREATE TABLE c (id int, code text UNIQUE)").await;
    let catalog = database.catalog(spec("c", "id", &["code"], &["code", "id"]));
    assert!(catalog.key_is_integer().await.unwrap());
}

#[tokio::test]
async fn before_set_up_a_catalog_answers_as_if_and_changes_nothing() {
    let script = format!("{ITEMS} INSERT INTO items (code, name) VALUES ('a', 'A')");
    let (server, database) = shop_with_script(&script).await;
    let catalog = database.catalog(items());
    assert!(catalog.key_is_integer().await.unwrap());
    assert_eq!(catalog.load().await.unwrap(), [(Key::Int(1), vec![Some("a".to_owned())])]);
    assert_eq!(server.value("SELECT count(*) FROM pg_class WHERE relname = 'items'").await, "0");
    database.set_up().await.unwrap();
    database.set_up().await.unwrap();
    let nothing: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    let rows = batch(vec![("code", texts(["a"])), ("name", nothing)]);
    assert_eq!(good(catalog.find_or_create(&rows).await.unwrap()), [Key::Int(1)]);
}
