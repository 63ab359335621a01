//! Who is let in: passwords, the password file, sockets, several servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use kiln_core::Kind;
use kiln_testkit::OwnPostgres;

use super::server::reach;
use super::*;

const RULES: &str = "\
host  all scram  127.0.0.1/32 scram-sha-256
host  all md5    127.0.0.1/32 md5
host  all clear  127.0.0.1/32 password
host  all nobody 127.0.0.1/32 reject
host  all all    127.0.0.1/32 trust
local all scram               scram-sha-256
";

/// Opens a lane, which logs in by itself, and commits three items.
async fn commit_three(server: &OwnPostgres, url: &str) {
    server
        .value(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint); \
                  DROP SCHEMA IF EXISTS kiln CASCADE",
        )
        .await;
    let database = connect(url, None).await.unwrap();
    database.ledger().prepare().await.unwrap();
    let items = batch(vec![("id", ints(1..=3))]);
    let writes = [insert("t", &["id"])];
    let (mut lane, _) = open(&database, &key("run", 1), &writes, &items.schema()).await;
    commit(&mut lane, &unit(0, vec![items])).await;
    assert_eq!(server.value("SELECT count(*) FROM t").await, "3", "{url}");
}

/// Hard to write into a URL, and into a password file.
const PASSWORD: &str = "canary:@/?%\\ ü";
const IN_URL: &str = "canary%3A%40%2F%3F%25%5C%20%C3%BC";

async fn server() -> OwnPostgres {
    let server = OwnPostgres::start(&[("pg_hba.conf", RULES)], "");
    for (role, encryption) in [("scram", "scram-sha-256"), ("md5", "md5"), ("clear", "md5")] {
        let made = format!(
            "SET password_encryption = '{encryption}'; \
             CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
        );
        server.value(&made).await;
    }
    server.value("CREATE ROLE nobody LOGIN").await;
    server.value("CREATE ROLE reader LOGIN").await;
    server.value("ALTER ROLE reader SET default_transaction_read_only = on").await;
    server
}

#[tokio::test]
async fn a_password_is_proved_in_each_way_that_servers_ask() {
    let server = server().await;
    let place = format!("127.0.0.1:{}/postgres", server.port);
    for role in ["scram", "md5", "clear"] {
        reach(&format!("postgres://{role}:{IN_URL}@{place}")).await.expect(role);
        commit_three(&server, &format!("postgres://{role}:{IN_URL}@{place}")).await;
        let fault = reach(&format!("postgres://{role}:canary@{place}")).await.expect_err(role);
        assert_eq!((fault.kind(), fault.code()), (Kind::NotPermitted, Some("28P01")), "{fault}");
        assert!(!fault.is_transient(), "{role}: a wrong password is not tried again");
        let none = format!("postgres://{role}@{place}?passfile=/nowhere");
        let fault = reach(&none).await.expect_err(role);
        assert_eq!(fault.kind(), Kind::NotPermitted, "{fault}");
        assert!(fault.hint().unwrap().contains("PGPASSWORD"), "{fault}");
    }
    let fault = reach(&format!("postgres://nobody@{place}")).await.unwrap_err();
    assert_eq!((fault.kind(), fault.code()), (Kind::NotPermitted, Some("28000")), "{fault}");
    let bound = format!("postgres://scram:{IN_URL}@{place}?channel_binding=require");
    assert_eq!(reach(&bound).await.unwrap_err().kind(), Kind::NotPermitted);

    let plain = reach(&format!("postgres://tester@{place}?sslmode=require")).await.unwrap_err();
    assert_eq!(plain.kind(), Kind::Config);
    assert!(plain.message().contains("does not encrypt"), "{plain}");
    assert!(plain.hint().unwrap().contains("sslmode=disable"));
    let read = format!("postgres://tester@{place}?sslmode=prefer");
    reach(&read).await.unwrap();
}

#[tokio::test]
async fn passwords_come_from_a_file_and_sessions_by_a_socket() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pgpass");
    let written = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    fs::write(&file, format!("# mine\n*:{}:*:scram:{written}\n", server.port)).unwrap();
    let place = format!("127.0.0.1:{}/postgres", server.port);
    let url = format!("postgres://scram@{place}?passfile={}", file.display());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(reach(&url).await.unwrap_err().kind(), Kind::NotPermitted);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    reach(&url).await.unwrap();

    let (socket, port) = (server.folder().display(), server.port);
    for mode in ["disable", "require", "verify-full"] {
        let by_socket = format!(
            "postgres://scram@/postgres?host={socket}&port={port}&sslmode={mode}&passfile={}",
            file.display()
        );
        reach(&by_socket).await.expect(mode);
    }
    let fault = reach(&format!("postgres://scram@/postgres?host={socket}&port=1")).await;
    assert_eq!(fault.unwrap_err().kind(), Kind::Unreachable);
}

#[tokio::test]
async fn of_several_servers_the_one_that_is_meant_is_taken() {
    let server = server().await;
    let port = server.port;
    let two = |user: &str, more: &str| {
        format!("postgres://{user}@127.0.0.1:1,127.0.0.1:{port}/postgres?{more}")
    };
    reach(&two("tester", "")).await.unwrap();
    for (attributes, primary, reader) in [
        ("any", true, true),
        ("read-write", true, false),
        ("read-only", false, true),
        ("primary", true, true),
        ("standby", false, false),
        ("prefer-standby", true, true),
    ] {
        let wanted = format!("target_session_attrs={attributes}");
        for (user, expected) in [("tester", primary), ("reader", reader)] {
            let answer = reach(&two(user, &wanted)).await;
            assert_eq!(answer.is_ok(), expected, "{attributes} for {user}: {answer:?}");
            if let Err(fault) = answer {
                assert_eq!(fault.kind(), Kind::Unreachable);
                assert!(fault.message().contains("target_session_attrs"), "{fault}");
            }
        }
    }
    // Who is known and may not enter is not sent on to the next server.
    let refused = format!("postgres://nobody@127.0.0.1:{port},127.0.0.1:1/postgres");
    assert_eq!(reach(&refused).await.unwrap_err().kind(), Kind::NotPermitted);

    // A lane goes where the sessions went.
    commit_three(&server, &two("tester", "")).await;
}
