//! Connections, and the set-up script.

use kiln_core::Kind;

use super::*;

/// Whether the server of a URL is reached and lets us in. A password called
/// canary shows nowhere.
pub(crate) async fn reach(url: &str) -> Result<(), Fault> {
    let unseen = |told: &str| assert!(!told.contains("canary"), "{told}");
    let see = |fault: &Fault| unseen(&format!("{fault} {fault:?} {:?}", fault.hint()));
    let database = connect(url, None).await.inspect_err(see)?;
    unseen(database.url());
    let checks = database.sink().check(&[], &Arc::new(Schema::empty())).await;
    unseen(&checks[0].what);
    match checks[0].result.clone() {
        Ok(_) => Ok(()),
        Err(fault) => {
            see(&fault);
            assert_eq!(checks.len(), 1, "{checks:?}");
            Err(fault)
        }
    }
}

async fn reached(url: &str) -> Fault {
    reach(url).await.expect_err(url)
}

#[tokio::test]
async fn a_server_that_can_not_be_used_is_told_from_another() {
    let fault = reached("postgres://u:canary@127.0.0.1:1/d").await;
    assert_eq!((fault.kind(), fault.is_transient()), (Kind::Unreachable, true));
    assert!(fault.message().contains("127.0.0.1:1"), "{fault}");
    let fault = reached("postgres://u:canary@no.such.host.invalid/d?sslmode=disable").await;
    assert_eq!(fault.kind(), Kind::Unreachable);

    let server = postgres().await;
    let (before, _) = server.url.rsplit_once('/').unwrap();
    let fault = reached(&format!("{before}/kiln_no_such_database")).await;
    assert_eq!((fault.kind(), fault.code()), (Kind::Config, Some("3D000")), "{fault}");
    assert!(fault.hint().unwrap().contains("createdb"));
    let (_, place) = server.url.rsplit_once('@').unwrap();
    let fault = reached(&format!("postgres://kiln_nobody:canary@{place}")).await;
    assert_eq!(fault.kind(), Kind::NotPermitted, "{fault}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fault = reached(&format!("postgres://u@127.0.0.1:{port}/d?connect_timeout=1")).await;
    assert_eq!(fault.kind(), Kind::Unreachable, "{fault}");
}

#[tokio::test]
async fn a_set_up_script_runs_once_and_is_rehearsed_without_a_trace() {
    let script = "-- two tables\nCREATE TABLE a (id int);\nCREATE TABLE b AS SELECT 1 AS id;\n";
    let (server, database) = shop_with_script(script).await;
    let (sink, items) = (database.sink(), Arc::new(Schema::empty()));
    let writes = [insert("a", &["id"])];
    let checks = sink.check(&writes, &batch(vec![("id", ints([1]))]).schema()).await;
    assert_eq!(failing(&checks).len(), 0, "{checks:?}");
    assert_eq!(checks[1].what, "set-up script schema.sql");
    let tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class \
                  WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(server.value(tables).await, "NULL");
    database.set_up().await.unwrap();
    database.set_up().await.unwrap();
    assert_eq!(server.value(tables).await, "a,b");
    assert!(failing(&sink.check(&[], &items).await).is_empty());
}

#[tokio::test]
async fn a_script_that_fails_names_its_line_and_leaves_nothing() {
    let cases = [
        ("CREATE TABLE a (id int);\nSELEC 1;", "schema.sql:2: ", "SELEC"),
        (
            "CREATE TABLE é (id int);\n\nINSERT INTO nowhere VALUES (1);",
            "schema.sql:3: ",
            "nowhere",
        ),
        ("CREATE TABLE a (id int); COMMIT; SELECT 1", "schema.sql", "BEGIN, COMMIT"),
        ("BEGIN; CREATE TABLE a (id int); COMMIT;", "schema.sql", "BEGIN, COMMIT"),
        ("CREATE TABLE a (id int);\nSELECT 1/0;", "schema.sql", "division by zero"),
    ];
    for (script, place, says) in cases {
        let (server, database) = shop_with_script(script).await;
        let rehearsed = database.sink().check(&[], &Arc::new(Schema::empty())).await;
        let fault = failing(&rehearsed)[0].1.clone();
        for fault in [fault, database.set_up().await.unwrap_err()] {
            let told = format!("{fault} {}", fault.hint().unwrap());
            assert_eq!(fault.kind(), Kind::Config, "{told}");
            assert!(told.contains(place) && told.contains(says), "{told}");
        }
        let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(server.value(tables).await, "0", "{script}");
    }
}

#[tokio::test]
async fn two_that_set_up_at_once_follow_each_other() {
    let script = "CREATE TABLE IF NOT EXISTS a (id serial PRIMARY KEY); \
                  CREATE INDEX IF NOT EXISTS b ON a (id);";
    let server = postgres().await;
    let tasks = (0..8).map(|_| {
        let url = server.url.clone();
        tokio::spawn(async move {
            let script = Script { name: "s.sql".into(), sql: script.into() };
            connect(&url, Some(script)).await.unwrap().set_up().await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
}
