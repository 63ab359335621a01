//! What the commands print.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use common::{JOB, Place, invoices, steady};
use serde_json::Value;

#[test]
fn help() {
    let place = Place::new();
    for command in [
        &[][..],
        &["run"],
        &["validate"],
        &["preview"],
        &["runs"],
        &["show"],
        &["dead-letters"],
        &["dead-letters", "list"],
        &["dead-letters", "show"],
        &["dead-letters", "export"],
        &["dead-letters", "redrive"],
    ] {
        let args = [command, &["--help"]].concat();
        let name = ["help"].iter().chain(command).copied().collect::<Vec<_>>().join("_");
        insta::assert_snapshot!(name, place.kiln(&args).exits(0).stdout);
    }
}

#[test]
fn wrong_usage_exits_64() {
    let place = Place::new();
    for args in [
        &[][..],
        &["rn", "job.toml"],
        &["run"],
        &["run", "job.toml", "--param", "x"],
        &["run", "job.toml", "--param", "x=1"],
        &["run", "job.toml", "--log-level", "loud"],
        &["runs"],
        &["dead-letters", "show", "latest", "first", "--job", "job.toml"],
    ] {
        place.kiln(args).exits(64);
    }
    place.kiln(&["run", "job.toml", "--param", "fil=1"]).says("did you mean `file`?");
    assert_eq!(place.files(), Place::new().files());
}

#[test]
fn validate_says_what_was_looked_at_and_writes_nothing() {
    let _steady = steady();
    let place = Place::new();
    insta::assert_snapshot!("validate", place.kiln(&["validate", "job.toml"]).exits(0).stdout);
    assert_eq!(place.files(), Place::new().files());

    let wrong = Place::with("total = \"amount * price\"", "totl = \"amount * price\"");
    insta::assert_snapshot!(
        "validate_wrong_column",
        wrong.kiln(&["validate", "job.toml"]).exits(78).stdout
    );
    let wrong = Place::with("price > 0", "prise > 0");
    insta::assert_snapshot!(
        "validate_wrong_rule",
        wrong.kiln(&["validate", "job.toml"]).exits(78).stdout
    );
    assert_eq!(wrong.files(), Place::new().files());
}

#[test]
fn preview_shows_what_would_be_written_and_writes_nothing() {
    let place = Place::new();
    insta::assert_snapshot!("preview", place.kiln(&["preview", "job.toml"]).exits(0).stdout);
    let two = place.kiln(&["preview", "job.toml", "-n", "2"]).exits(0).stdout;
    insta::assert_snapshot!("preview_two", two);
    assert_eq!(place.files(), Place::new().files());

    // Behind a run it knows what the run created.
    place.kiln(&["run", "job.toml"]).exits(0);
    let known = place.kiln(&["preview", "job.toml"]).exits(0).stdout;
    assert!(!known.contains("(new)"), "{known}");
}

#[test]
fn a_run_is_told_as_a_table_and_as_json() {
    let _steady = steady();
    let place = Place::new();
    let ended = place.kiln(&["run", "job.toml", "--report", "report.json"]).exits(0);
    insta::assert_snapshot!("run_table", ended.stdout);
    assert_eq!(ended.stderr, "");
    assert_eq!(place.sql("SELECT group_concat(total, ' ') FROM sales"), "3.00 0.50 4.50 10.00");
    assert_eq!(place.sql("SELECT sum(amount) FROM stock"), "11");

    let text = std::fs::read_to_string(place.path("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in [
        ("status", Value::from("partial_success")),
        ("items_read", 8.into()),
        ("items_processed", 4.into()),
        ("items_filtered", 1.into()),
        ("items_duplicate", 0.into()),
        ("items_failed", 3.into()),
        ("exit_code", 0.into()),
        ("resume", Value::Null),
        ("error", Value::Null),
        ("resumed", false.into()),
    ] {
        assert_eq!(report[key], value, "{key}: {text}");
    }
    let stages: Vec<&Value> =
        report["failed_items"].as_array().unwrap().iter().map(|item| &item["stage"]).collect();
    assert_eq!(stages, ["parse", "require", "write"]);
    assert!(report["peak_memory_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_complete_run_is_not_run_again_unless_asked() {
    let _steady = steady();
    let place = Place::new();
    place.kiln(&["run", "job.toml", "--strict"]).exits(65);
    let again = place.kiln(&["run", "job.toml"]).exits(0);
    insta::assert_snapshot!("run_already_complete", again.stdout);
    place.kiln(&["run", "job.toml", "--strict"]).exits(65);
    assert_eq!(place.sql("SELECT count(*) FROM sales"), "4");
    place.kiln(&["run", "job.toml", "--again", "--quiet"]).exits(0);
    assert_eq!(place.sql("SELECT count(*) FROM sales"), "8");
    assert_eq!(place.sql("SELECT count(*) FROM items"), "3", "found, not created again");
    // Other parameters are another run.
    std::fs::copy(place.path("in.csv"), place.path("other.csv")).unwrap();
    place.kiln(&["run", "job.toml", "--param", "file=other.csv"]).exits(0);
    assert_eq!(place.sql("SELECT count(*) FROM sales"), "12");
}

#[test]
fn a_report_on_standard_output_stands_there_alone() {
    let place = Place::new();
    let good = place.kiln(&["run", "job.toml", "--report", "-"]).exits(0);
    let report: Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!(report["status"], "partial_success");

    let bad = place.kiln(&["run", "job.toml", "--report", "-", "--param", "file=no.csv"]).exits(66);
    let report: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!((&report["status"], &report["exit_code"]), (&"failed".into(), &66.into()));
    assert_eq!(report["job"], "sales");
    assert!(report["error"]["message"].as_str().unwrap().contains("no.csv"), "{report}");
}

#[test]
fn a_report_without_a_place_keeps_the_run_from_beginning() {
    let place = Place::new();
    place.kiln(&["run", "job.toml", "--report", "no/such/report.json"]).exits(74);
    place.kiln(&["run", "job.toml", "--report", "."]).exits(74);
    assert_eq!(place.files(), Place::new().files());
}

/// A run that failed at its limit, and the command that goes on with it.
#[test]
fn a_failed_run_says_how_to_go_on_and_goes_on() {
    let _steady = steady();
    let job = format!("{JOB}[chunk]\nitems = 2\n[limits]\nfailed = 1\n");
    let place = Place::new();
    place.write("job.toml", &job);
    let ended = place.kiln(&["run", "job.toml", "--report", "report.json"]).exits(65);
    insta::assert_snapshot!("run_over_the_limit", ended.stderr);
    insta::assert_snapshot!(
        "show_failed_run",
        place.kiln(&["show", "latest", "job.toml"]).exits(0).stdout
    );
    let text = std::fs::read_to_string(place.path("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["status"], &report["exit_code"]), (&"failed".into(), &65.into()));

    place.write("job.toml", &job.replace("failed = 1", "failed = 100"));
    let resume = report["resume"].as_str().unwrap();
    let resumed = std::process::Command::new("sh")
        .args(["-c", resume])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    let shown = String::from_utf8(resumed.stdout).unwrap();
    assert!(shown.contains("(resumed)") && shown.contains("limits"), "{shown}");
    assert_eq!(place.sql("SELECT count(*) FROM sales"), "4");
    assert_eq!(place.sql("SELECT count(*) FROM kiln_dead_letters"), "3");
}

#[test]
fn runs_and_their_dead_letters_can_be_looked_at() {
    let _steady = steady();
    let place = Place::new();
    place.kiln(&["run", "job.toml"]).exits(0);
    let shown = |args: &[&str]| place.kiln(args).exits(0).stdout;
    insta::assert_snapshot!("runs", shown(&["runs", "job.toml"]));
    assert_eq!(shown(&["runs", "--url", "sqlite:out.db"]), shown(&["runs", "--job", "job.toml"]));
    insta::assert_snapshot!("show", shown(&["show", "latest", "job.toml"]));
    insta::assert_snapshot!(
        "dead_letters_list",
        shown(&["dead-letters", "list", "--job", "job.toml"])
    );
    let one = shown(&["dead-letters", "list", "-n", "1", "--job", "job.toml"]);
    assert!(one.contains("… and 2 more"), "{one}");
    insta::assert_snapshot!(
        "dead_letters_show",
        shown(&["dead-letters", "show", "latest", "7", "--job", "job.toml"])
    );
    assert_eq!(
        shown(&["dead-letters", "show", "latest", "7", "--job", "job.toml"]),
        shown(&["dead-letters", "show", "latest", "line:8", "--job", "job.toml"])
    );
    insta::assert_snapshot!(
        "dead_letters_csv",
        shown(&["dead-letters", "export", "--job", "job.toml", "--format", "csv"])
    );
    place.kiln(&["dead-letters", "export", "--job", "job.toml", "-o", "dead.jsonl"]).exits(0);
    let lines = std::fs::read_to_string(place.path("dead.jsonl")).unwrap();
    let raw: Vec<Value> =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["raw"].clone()).collect();
    assert_eq!(raw, ["A1,x,1.50", "=B2,1,0.00", "B2,5000,0.10"]);

    let json: Value = serde_json::from_str(&shown(&["runs", "job.toml", "--json"])).unwrap();
    let run = json[0]["run"].as_str().unwrap();
    assert_eq!(shown(&["show", &run[..31], "job.toml"]), shown(&["show", "latest", "job.toml"]));
    place.kiln(&["show", "zz", "job.toml"]).exits(66);
    place.kiln(&["dead-letters", "show", "latest", "99", "--job", "job.toml"]).exits(66);
    let by_environment =
        place.command(&["runs"]).env("KILN_URL", "sqlite:out.db").output().unwrap();
    assert_eq!(by_environment.status.code(), Some(0));
}

#[test]
fn where_there_is_no_ledger_nothing_is_made() {
    let place = Place::new();
    for args in [
        &["runs", "job.toml"][..],
        &["show", "latest", "job.toml"],
        &["dead-letters", "list", "--job", "job.toml"],
        &["dead-letters", "export", "--job", "job.toml"],
    ] {
        let ended = place.kiln(args).exits(0);
        assert!((ended.stdout + &ended.stderr).contains("no runs yet"), "{args:?}");
    }
    assert_eq!(place.files(), Place::new().files());
}

#[test]
fn the_log_for_machines_is_json_alone() {
    let place = Place::new();
    let good = place.kiln(&["run", "job.toml", "--log-format", "json"]).exits(0);
    let bad = ["run", "job.toml", "--log-format", "json", "--param", "file=no.csv"];
    for ended in [good, place.kiln(&bad).exits(66)] {
        assert!(!ended.stderr.is_empty());
        for line in ended.stderr.lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        }
    }
}

#[test]
fn what_a_terminal_would_obey_never_reaches_it() {
    let place = Place::new();
    place.write("in.csv", "code,amount,price\n\"\x1b[31m\u{202e}red\",\x1b]0;x\x07,1.00\n");
    let run = place.kiln(&["run", "job.toml", "--log-level", "debug"]).exits(0);
    let list = place.kiln(&["dead-letters", "list", "--job", "job.toml"]).exits(0);
    let show = place.kiln(&["dead-letters", "show", "latest", "1", "--job", "job.toml"]).exits(0);
    let preview = place.kiln(&["preview", "job.toml"]).exits(0);
    for ended in [run, list, show, preview] {
        let all = ended.stdout + &ended.stderr;
        assert!(!all.contains(['\x1b', '\x07', '\u{202e}']), "{all:?}");
        assert!(all.contains(r"\u{1b}"), "{all}");
    }
}

/// The main job on its day of real data. What the whole file gives is checked
/// elsewhere.
#[test]
fn the_main_job_on_its_day() {
    let place = Place::new();
    let job = invoices().join("job.toml");
    let job = job.to_str().unwrap();
    let url = format!("url=sqlite:{}", place.path("out.db").display());
    place.kiln(&["run", job, "--param", &url]).exits(0);
    for (query, value) in [
        (
            "SELECT read || ' ' || filtered || ' ' || failed || ' ' || processed FROM kiln_marks",
            "3108 9 10 3089",
        ),
        ("SELECT count(*) FROM transactions", "3089"),
        ("SELECT count(*) FROM items", "1338"),
        ("SELECT count(*) FROM items WHERE code <> upper(trim(code))", "0"),
        ("SELECT sum(quantity) FROM inventory", "26727"),
        ("SELECT sum(quantity) FROM transactions", "26727"),
        ("SELECT count(DISTINCT message) || min(message) FROM kiln_dead_letters", "1no price"),
        (
            "SELECT unit_cost || ' ' || sold_at FROM transactions WHERE source_line = 2",
            "2.550 2010-12-01 08:26:00",
        ),
    ] {
        assert_eq!(place.sql(query), value, "{query}");
    }
}
