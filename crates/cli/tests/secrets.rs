//! Security 1 and 9: a password is in no output, log, report, ledger or process
//! list, and neither is what the server tells of rows beside its message.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Stdio;

use common::{Ended, Place};
use kiln_testkit::OwnPostgres;

const CANARY: &str = "kept/4711";
const IN_URL: &str = "kept%2F4711";

const RULES: &str = "\
host all scram 127.0.0.1/32 scram-sha-256
host all all   127.0.0.1/32 trust
";

/// A server that asks for the password, and a job that takes its URL from the
/// environment.
async fn guarded() -> (OwnPostgres, Place) {
    let server = OwnPostgres::start(&[("pg_hba.conf", RULES)], "");
    server.value(&format!("CREATE ROLE scram SUPERUSER LOGIN PASSWORD '{CANARY}'")).await;
    (server, Place::with("url = \"${url}\"", "url = \"${DATABASE_URL}\""))
}

/// Runs kiln with all that it can log.
fn kiln(place: &Place, args: &[&str], url: &str) -> Ended {
    let mut command = place.command(args);
    command.env("DATABASE_URL", url).env("KILN_URL", url).env("RUST_LOG", "trace");
    let ended = Ended::of(command.output().unwrap());
    unseen(&format!("{args:?}"), &ended.stdout);
    unseen(&format!("{args:?}"), &ended.stderr);
    ended
}

#[track_caller]
fn unseen(what: &str, told: &str) {
    // The server's DETAIL of a row that breaks a rule.
    for secret in [CANARY, IN_URL, "4711", "Failing row"] {
        assert!(!told.contains(secret), "{secret} is in {what}:\n{told}");
    }
}

const RUN: [&str; 6] = ["run", "job.toml", "--report", "report.json", "--log-level", "debug"];

#[tokio::test]
async fn a_password_that_is_right_shows_nowhere() {
    let (server, place) = guarded().await;
    let url = format!("postgres://scram:{IN_URL}@127.0.0.1:{}/postgres", server.port);
    kiln(&place, &["validate", "job.toml"], &url).exits(0);
    kiln(&place, &["preview", "job.toml"], &url).exits(0);
    kiln(&place, &[&RUN[..], &["--log-format", "json"]].concat(), &url).exits(0);
    kiln(&place, &[&RUN[..], &["--again"]].concat(), &url).exits(0);
    kiln(&place, &["runs"], &url).exits(0);
    kiln(&place, &["show", "latest"], &url).exits(0);
    kiln(&place, &["dead-letters", "list"], &url).exits(0);
    unseen("the report", &fs::read_to_string(place.path("report.json")).unwrap());
    for table in ["runs", "marks", "dead_letters", "meta"] {
        let all = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM kiln.{table} t");
        let rows = server.value(&all).await;
        assert!(!rows.is_empty() || table == "marks", "kiln.{table} is empty");
        unseen(table, &rows);
    }
}

#[tokio::test]
async fn the_process_list_of_machine_and_server_do_not_show_it() {
    let (server, place) = guarded().await;
    let url = format!("postgres://scram:{IN_URL}@127.0.0.1:{}/postgres", server.port);
    kiln(&place, &["run", "job.toml"], &url).exits(0);
    // Somebody holds the table, so that the run is still there when it is looked at.
    let hold = "BEGIN; LOCK TABLE stock; SELECT pg_sleep(60)";
    let held = tokio::spawn({
        let url = server.url();
        async move {
            let (client, connection) =
                tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let _ = client.batch_execute(hold).await;
        }
    });
    let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'stock'::regclass";
    while server.value(locked).await == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut command = place.command(&["run", "job.toml", "--again"]);
    command.env("DATABASE_URL", &url).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE usename = 'scram' AND wait_event_type = 'Lock'";
    while server.value(waiting).await == "0" {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was looked at");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    unseen("its arguments", &String::from_utf8_lossy(&arguments));
    let activity = "SELECT string_agg(a::text, ' ') FROM pg_stat_activity a";
    unseen("the server's activity", &server.value(activity).await);
    child.kill().unwrap();
    child.wait().unwrap();
    held.abort();
}

#[tokio::test]
async fn a_password_that_is_wrong_or_in_a_broken_url_shows_nowhere() {
    let (server, place) = guarded().await;
    let at = format!("127.0.0.1:{}/postgres", server.port);
    for (url, code) in [
        (format!("postgres://scram:x{IN_URL}@{at}"), 77),
        (format!("postgres://scram:{CANARY}@{at}"), 78),
        (format!("postgres://scram:@4711@{at}"), 78),
        (format!("postgres://scram:x?4711@{at}"), 77),
        (format!("postgres://scram:%4711%@{at}"), 78),
        (format!("postgres://scram@{at}?password=x&4711"), 78),
        (format!("postgres://scram@{at}?password=x4711&sslmod=require"), 78),
        (format!("postgres://scram:{IN_URL}@{at}?sslmode=require"), 78),
        (format!("postgres://scram:{IN_URL}@127.0.0.1:1/postgres"), 69),
        (format!("postgres://scram:{IN_URL}"), 78),
    ] {
        for args in [&["validate", "job.toml"][..], &RUN, &["runs"]] {
            let ended = kiln(&place, args, &url);
            assert_eq!(ended.code, Some(code), "{url}: {}{}", ended.stdout, ended.stderr);
        }
    }
}
