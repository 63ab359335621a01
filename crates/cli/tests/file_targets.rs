//! Jobs that write files, run by the real binary: undisturbed, killed anywhere,
//! asleep past the lease. What must be in the parts is told by the input alone.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use common::Place;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use process::{Ended, send, wait};
use rustix::process::Signal;
use serde_json::Value;

/// Items of the input; of 11, one is filtered and one is bad.
const ITEMS: u64 = 2_000;
const CHUNK: u64 = 40;
const CHUNKS: u64 = ITEMS / CHUNK;

fn is_filtered(item: u64) -> bool {
    item % 11 == 3
}

fn is_bad(item: u64) -> bool {
    item % 11 == 7
}

/// What must be written, by the input alone.
fn expected() -> Vec<u64> {
    (1..=ITEMS).filter(|item| !is_filtered(*item) && !is_bad(*item)).collect()
}

fn job(target: &str) -> String {
    format!(
        "name = \"export\"\n\n[source]\nfile = \"orders.csv\"\n\n[source.columns]\nid = \"int\"\n\
         amount = \"decimal(12,2)\"\n\n[map]\nsql = \"SELECT id, amount, note FROM item WHERE note \
         <> 'skip'\"\n\n[target]\nfile = \"out\"\n{target}\n\n[[write]]\ntable = \"orders\"\n\n\
         [chunk]\nitems = {CHUNK}\n"
    )
}

/// A folder with the job and its input.
fn place(target: &str) -> Place {
    let place = Place::new();
    place.write("export.toml", &job(target));
    let mut text = "id,amount,note\n".to_owned();
    for item in 1..=ITEMS {
        let amount = if is_bad(item) { "x".to_owned() } else { format!("{item}.50") };
        let note = if is_filtered(item) { "skip" } else { "\"a, \"\"b\"\"\"" };
        text.push_str(&format!("{item},{amount},{note}\n"));
    }
    place.write("orders.csv", &text);
    place
}

fn command(place: &Place) -> Command {
    let mut command = place.command(&["run", "export.toml", "--report", "-", "--quiet"]);
    command
        .env_remove("KILN_CRASH_AT")
        .env_remove("KILN_LEASE_SECONDS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(place: &Place) -> Ended {
    wait(command(place).spawn().unwrap())
}

/// The ids in a part, in order.
fn ids(path: &Path) -> Vec<u64> {
    let name = path.file_name().unwrap().to_str().unwrap();
    if name.ends_with(".parquet") {
        let file = std::fs::File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let ids = |batch: arrow_array::RecordBatch| {
            batch.column(0).as_primitive::<Int64Type>().values().to_vec()
        };
        return reader.flat_map(|batch| ids(batch.unwrap())).map(|id| id as u64).collect();
    }
    let bytes = std::fs::read(path).unwrap();
    let bytes = if name.ends_with(".zst") { zstd::decode_all(&bytes[..]).unwrap() } else { bytes };
    let text = String::from_utf8(bytes).unwrap();
    let id = |line: &str| match line.strip_prefix("{\"id\":") {
        Some(rest) => rest.split(',').next().unwrap().parse().unwrap(),
        None => line.split(',').next().unwrap().parse().unwrap(),
    };
    text.lines().filter(|line| !line.starts_with("id,")).map(id).collect()
}

/// The names of what a reader of the folder sees.
fn shown(place: &Place) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(place.path("out")) else { return Vec::new() };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    let mut names: Vec<String> = entries.map(name).filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Every row once and in order, every bad item a dead letter, nothing else.
fn assert_exact(place: &Place, what: &str) {
    assert_parts(place, what);
    let ledger = rusqlite::Connection::open(place.path("out/.kiln/ledger.db")).unwrap();
    let count = |sql: &str| ledger.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    let bad = (1..=ITEMS).filter(|item| is_bad(*item)).count() as u64;
    assert_eq!(count("SELECT count(*) FROM kiln_dead_letters"), bad, "{what}");
    assert_eq!(count("SELECT sum(read) FROM kiln_marks"), ITEMS, "{what}");
}

/// The parts that the manifest names, whole, and nothing beside them.
fn assert_parts(place: &Place, what: &str) {
    let names = shown(place);
    let manifest = std::fs::read(place.path("out/_manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let parts = manifest["tables"][0]["parts"].as_array().unwrap();
    let listed: Vec<&str> = parts.iter().map(|part| part["file"].as_str().unwrap()).collect();
    assert_eq!(
        names.iter().filter(|n| *n != "_manifest.json").collect::<Vec<_>>(),
        listed,
        "{what}"
    );
    let all: Vec<u64> = listed.iter().flat_map(|name| ids(&place.path("out").join(name))).collect();
    assert_eq!(all, expected(), "{what}");
    for part in parts {
        let file = place.path("out").join(part["file"].as_str().unwrap());
        assert_eq!(part["bytes"], file.metadata().unwrap().len(), "{what}");
        let ids = ids(&file);
        assert_eq!(part["rows"], ids.len(), "{what}");
        let (first, last) = (part["first"].as_u64().unwrap(), part["last"].as_u64().unwrap());
        assert!(ids.iter().all(|id| (first..=last).contains(id)), "{what}");
    }
    let mut hidden: Vec<String> = std::fs::read_dir(place.path("out/.kiln"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    hidden.sort();
    let left: Vec<&String> = hidden
        .iter()
        .filter(|name| !name.starts_with("ledger.db") && *name != "lock" && *name != "runs")
        .collect();
    assert!(left.is_empty(), "{what}: {left:?} is left");
    let runs = std::fs::read_dir(place.path("out/.kiln/runs")).unwrap();
    assert_eq!(runs.count(), 0, "{what}: temporary files are left");
}

/// No reader sees anything of a run that is not complete, but whole parts and no
/// manifest while they get their names.
fn assert_consistent(place: &Place, what: &str) {
    let names = shown(place);
    if names.iter().any(|name| name == "_manifest.json") {
        return assert_all_there(place, what);
    }
    let expected = expected();
    for name in names {
        for id in ids(&place.path("out").join(name)) {
            assert!(expected.contains(&id), "{what}: {id}");
        }
    }
}

fn assert_all_there(place: &Place, what: &str) {
    let names = shown(place);
    let parts = names.iter().filter(|name| *name != "_manifest.json");
    let all: Vec<u64> = parts.flat_map(|name| ids(&place.path("out").join(name))).collect();
    assert_eq!(all, expected(), "{what}: the manifest is there, and not all parts");
}

#[test]
fn every_format_has_every_row_once() {
    for target in [
        "format = \"csv\"",
        "format = \"csv\"\ncompression = \"zstd\"\nheader = false",
        "format = \"jsonl\"",
        "format = \"parquet\"",
    ] {
        let place = place(target);
        let report = run(&place).expect(0);
        assert_eq!(report["items_read"], ITEMS);
        assert_eq!(report["chunks"], CHUNKS);
        assert_exact(&place, target);
        let again = run(&place).expect(0);
        assert_eq!(again["run"], report["run"]);
        assert_exact(&place, "complete is complete");
    }
}

/// A chunk is large by default: this input is one part.
#[test]
fn parts_are_large_if_nothing_is_said() {
    let place = place("format = \"parquet\"");
    let job = job("format = \"parquet\"");
    place.write("export.toml", &job[..job.find("[chunk]").unwrap()]);
    run(&place).expect(0);
    assert_eq!(shown(&place), ["_manifest.json", "orders-000000000001-000000002000.parquet"]);
    assert_exact(&place, "one part");
}

/// B32: at each point, in the first, a middle and the last chunk; the next start
/// cuts chunks of another size.
#[test]
fn killed_anywhere_every_row_is_there_once() {
    let of_chunks = ["begin", "staged", "write", "mark", "commit", "committed", "publish"];
    let points = of_chunks
        .iter()
        .flat_map(|point| [1, CHUNKS / 2, CHUNKS].map(|visit| format!("{point}:{visit}")));
    for at in points.chain(["manifest:1".to_owned(), "published:1".to_owned()]) {
        let place = place("format = \"csv\"");
        let died = wait(command(&place).env("KILN_CRASH_AT", &at).spawn().unwrap());
        assert!(died.is_killed(), "{at}: {died:?}");
        assert_consistent(&place, &at);
        let other = job("format = \"csv\"").replace("items = 40", "items = 77");
        place.write("export.toml", &other);
        run(&place).expect(0);
        assert_exact(&place, &at);
    }
}

/// B32: killed while its parts take the place of others, which are cut otherwise.
#[test]
fn killed_while_it_replaces_a_result_it_ends_with_its_own() {
    let target = "format = \"csv\"\nexisting = \"replace\"";
    for at in ["commit:9", "publish:1", "publish:9", "manifest:1", "published:1"] {
        let place = place(target);
        let first = run(&place).expect(0);
        place.write("export.toml", &job(target).replace("items = 40", "items = 120"));
        let again = command(&place).arg("--again").env("KILN_CRASH_AT", at).spawn().unwrap();
        assert!(wait(again).is_killed(), "{at}");
        if at == "commit:9" {
            assert_all_there(&place, "before it replaces anything");
        }
        let report = run(&place).expect(0);
        assert_ne!(report["run"], first["run"]);
        assert_parts(&place, at);
        assert_eq!(shown(&place).len() as u64, ITEMS.div_ceil(120) + 1, "{at}");
    }
}

/// Given up while its parts got their names, a run leaves none of them.
#[test]
fn a_run_that_was_given_up_leaves_nothing() {
    for at in ["commit:9", "publish:9", "manifest:1"] {
        let place = place("format = \"csv\"");
        let died = command(&place).env("KILN_CRASH_AT", at).spawn().unwrap();
        assert!(wait(died).is_killed(), "{at}");
        let other = job("format = \"csv\"").replace("items = 40", "items = 60");
        place.write("export.toml", &other);
        let mut again = command(&place);
        wait(again.arg("--again").spawn().unwrap()).expect(0);
        assert_parts(&place, at);
    }
}

/// B32: 20 kills at moments that are spread over a run.
#[test]
fn killed_again_and_again_every_row_is_there_once() {
    let target = "format = \"parquet\"";
    let whole = place(target);
    let began = Instant::now();
    run(&whole).expect(0);
    let took = began.elapsed();
    let (mut kills, mut place) = (0, place(target));
    while kills < 20 {
        let child = command(&place).spawn().unwrap();
        // The moment is what is tested; nothing waits for anything here.
        std::thread::sleep(took.mul_f64(f64::from(kills * 7 % 20 + 1) / 20.0));
        send(&child, Signal::KILL);
        let ended = wait(child);
        if ended.is_killed() {
            kills += 1;
            assert_consistent(&place, &format!("kill {kills}"));
        } else {
            ended.expect(0);
            assert_exact(&place, &format!("after {kills} kills"));
            place = self::place(target);
        }
    }
    run(&place).expect(0);
    assert_exact(&place, "at last");
}

/// B35: asleep past its lease, and awake when another is done, it changes
/// nothing.
#[test]
fn asleep_past_its_lease_it_shows_nothing() {
    let place = place("format = \"jsonl\"");
    let mut sleeper = command(&place).env("KILN_LEASE_SECONDS", "1").spawn().unwrap();
    let began = Instant::now();
    let parts = place.path("out/.kiln/runs");
    let committed = || {
        let path = place.path("out/.kiln/ledger.db");
        let ledger = rusqlite::Connection::open_with_flags(
            path,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
        )?;
        ledger.query_row("SELECT count(*) FROM kiln_parts", [], |row| row.get::<_, u64>(0))
    };
    while !parts.exists() || committed().unwrap_or_default() == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is committed");
        assert!(sleeper.try_wait().unwrap().is_none(), "it ended before it slept");
        std::thread::sleep(Duration::from_millis(1));
    }
    send(&sleeper, Signal::STOP);
    if sleeper.try_wait().unwrap().is_some() {
        return assert_exact(&place, "it was faster");
    }
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody takes over");
        let ended = run(&place);
        match ended.status.code() {
            Some(0) => break,
            // It fell asleep with the ledger's lock in its hands.
            Some(69) => {
                send(&sleeper, Signal::CONT);
                std::thread::sleep(Duration::from_millis(2));
                send(&sleeper, Signal::STOP);
                if sleeper.try_wait().unwrap().is_some() {
                    return assert_exact(&place, "it was faster");
                }
            }
            code => assert_eq!(code, Some(75), "{}", ended.stderr),
        }
    }
    assert_exact(&place, "taken over");
    send(&sleeper, Signal::CONT);
    assert_eq!(wait(sleeper).status.code(), Some(75));
    // What it had begun to write aside is its own.
    let _ = std::fs::remove_dir_all(&parts);
    std::fs::create_dir(&parts).unwrap();
    assert_exact(&place, "awake");
}

#[test]
fn the_commands_find_the_ledger() {
    let place = place("format = \"csv\"\nledger = \"sqlite:book.db\"");
    run(&place).expect(0);
    assert!(place.path("book.db").exists() && !place.path("out/.kiln/ledger.db").exists());
    let runs = place.kiln(&["runs", "--job", "export.toml"]).exits(0);
    assert!(runs.stdout.contains("export"), "{}", runs.stdout);
    let letters = place.kiln(&["dead-letters", "list", "--job", "export.toml"]).exits(0);
    assert!(letters.stdout.contains("orders.csv"), "{}", letters.stdout);
}

#[test]
fn a_check_writes_nothing_and_says_what_files_can_not_do() {
    let place = place("format = \"csv\"");
    let before = place.files();
    let checked = place.kiln(&["validate", "export.toml"]).exits(0);
    for said in ["target folder", "it will be created", "files of orders"] {
        assert!(checked.stdout.contains(said), "{said}: {}", checked.stdout);
    }
    assert_eq!(place.files(), before);
    let csv = job("format = \"csv\"");
    let cases = [
        (csv.replace("table = \"orders\"", "table = \"orders\"\nmode = \"upsert\"\nkey = [\"id\"]"), "files have no mode upsert"),
        (job(""), "the format of the files is not said"),
        (job("format = \"jsonl\"\nheader = true"), "`header` means nothing in jsonl"),
        (job("format = \"csv\"\ncompression = \"snappy\""), "text is not packed with snappy"),
        (job("format = \"csv\"\nnull = \"a,b\""), "written without quotes"),
        (job("format = \"csv\"\nrequired = [\"x\"]"), "required column x"),
        (job("format = \"csv\"\nsetup = \"x.sql\""), "`setup` means nothing"),
        (csv.replace("file = \"out\"\nformat", "url = \"sqlite:x.db\"\nformat"), "`format` means nothing where the target is a database"),
        (csv.replace("file = \"out\"\n", "file = \"out\"\nurl = \"sqlite:x.db\"\n"), "not both"),
        (csv.replace("file = \"out\"\n", ""), "neither a database nor files"),
        (csv.replace("[target]", "[[match]]\nas = \"x\"\ntable = \"t\"\nkey = \"id\"\non = { a = \"note\" }\n\n[target]"), "the target is files"),
    ];
    for (text, why) in cases {
        place.write("export.toml", &text);
        let ended = place.kiln(&["validate", "export.toml"]);
        assert_eq!(ended.code, Some(78), "{why}: {}{}", ended.stdout, ended.stderr);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(why), "{why}: {said}");
    }
    assert_eq!(place.files(), before);
}
