//! Showing a result: whole, once, and by whoever holds the run.

use kiln_core::{Kind, RunState, WriteColumn};
use kiln_files::{Existing, FileFormat, TargetOptions};
use kiln_testkit::TestTarget as _;
use kiln_testkit::notes::{self, Fate, insert_notes};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::folder::{Folder, answer, commit, csv, rows_of};

async fn fresh() -> Folder {
    Folder::new(csv(), Existing::Refuse).await
}

fn manifest(folder: &Folder) -> Value {
    let text = std::fs::read(folder.path().join("_manifest.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

const FIRST: &str = "notes-000000000001-000000000003.csv";
const SECOND: &str = "notes-000000000004-000000000008.csv";

#[tokio::test]
async fn nothing_is_seen_before_all_is_there() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    commit(&mut lane, 3, 5).await;
    assert!(folder.shown().is_empty());
    assert_eq!(folder.aside().len(), 2);

    folder.sink().publish(&claim, "export").await.unwrap();
    assert_eq!(folder.shown(), ["_manifest.json", FIRST, SECOND]);
    assert!(folder.aside().is_empty());
    let manifest = manifest(&folder);
    assert_eq!((&manifest["job"], &manifest["run"]), (&"export".into(), &claim.run.0.into()));
    let table = &manifest["tables"][0];
    assert_eq!((&table["table"], &table["rows"]), (&"notes".into(), &8.into()));
    assert_eq!(table["layout"]["columns"][0]["type"], "Int64");
    let mut all = Vec::new();
    for part in table["parts"].as_array().unwrap() {
        let path = folder.path().join(part["file"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(part["sha256"], sum);
        assert_eq!(part["bytes"], bytes.len());
        let rows = rows_of(&path);
        assert_eq!(part["rows"], rows.len());
        all.extend(rows);
    }
    assert_eq!(all, (1..=8).map(notes::note).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_shown_stays_as_it_is() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    commit(&mut lane, 3, 5).await;
    // As if the process had died behind the first part.
    let staged = &folder.book("SELECT staged FROM kiln_parts ORDER BY first_item")[0];
    std::fs::rename(folder.path().join(staged), folder.path().join(FIRST)).unwrap();
    // And had copied the second, as stores do.
    let staged = &folder.book("SELECT staged FROM kiln_parts ORDER BY first_item")[1];
    std::fs::copy(folder.path().join(staged), folder.path().join(SECOND)).unwrap();
    for _ in 0..2 {
        folder.sink().publish(&claim, "export").await.unwrap();
        assert_eq!(folder.shown(), ["_manifest.json", FIRST, SECOND]);
        assert!(folder.aside().is_empty());
    }
    let again = folder.claim(&claim).await;
    folder.sink().publish(&again, "export").await.unwrap();
    assert_eq!(folder.shown(), ["_manifest.json", FIRST, SECOND]);
}

#[tokio::test]
async fn a_part_that_is_gone_is_missed() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    std::fs::remove_file(&folder.aside()[0]).unwrap();
    let fault = folder.sink().publish(&claim, "export").await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Io, "{fault:?}");
    assert!(folder.shown().is_empty());
}

/// B35: who was taken over shows nothing, and commits nothing.
#[tokio::test]
async fn a_sleeper_shows_nothing() {
    let folder = fresh().await;
    let (old, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    let new = folder.claim(&old).await;
    let fault = folder.sink().publish(&old, "export").await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Fenced, "{fault:?}");
    assert!(folder.shown().is_empty());

    let mut takes_over = folder.lane(&new, &[insert_notes()]).await.unwrap();
    let late = notes::unit(3, &[Fate::Write; 2], &[insert_notes()]);
    let kiln_core::Settled::Refused(refusal) = answer(&mut lane, &late).await else { panic!() };
    assert_eq!(refusal.fault.kind(), Kind::Fenced);
    assert_eq!(folder.aside().len(), 1, "its file went with it");
    // Cut otherwise than the sleeper did.
    commit(&mut takes_over, 3, 5).await;
    folder.sink().publish(&new, "export").await.unwrap();
    assert_eq!(folder.shown(), ["_manifest.json", FIRST, SECOND]);
}

#[tokio::test]
async fn what_was_never_committed_is_swept() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    let committed = folder.aside().remove(0);
    let orphan = committed.with_file_name("notes-000000000004-000000000009.csv.0123456789abcdef");
    std::fs::write(&orphan, "half a fi").unwrap();
    folder.lane(&folder.claim(&claim).await, &[insert_notes()]).await.unwrap();
    assert_eq!(folder.aside(), [committed]);
}

/// While one shows its parts, another waits.
#[tokio::test]
async fn one_shows_at_a_time() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    let held = std::fs::File::create(folder.path().join(".kiln/lock")).unwrap();
    held.lock().unwrap();
    let fault = folder.sink().publish(&claim, "export").await.unwrap_err();
    assert!(fault.is_transient() && fault.kind() == Kind::Busy, "{fault:?}");
    assert!(folder.shown().is_empty());
    drop(held);
    folder.sink().publish(&claim, "export").await.unwrap();
}

#[tokio::test]
async fn the_result_of_another_run_is_kept_or_replaced() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    commit(&mut lane, 3, 5).await;
    folder.sink().publish(&claim, "export").await.unwrap();
    let finished = folder.ledger().finish(&claim, RunState::Completed, None).await;
    finished.unwrap();

    let other = kiln_testkit::suites::ledger::begin(&*folder.ledger(), "other", "").await;
    let fault = folder.lane(&other, &[insert_notes()]).await.err().unwrap();
    assert_eq!(fault.kind(), Kind::Config, "{fault:?}");
    assert!(fault.hint().unwrap().contains("replace"));

    let replacing = folder.as_other(csv(), Existing::Replace).await;
    let mut lane = replacing.lane(&other, &[insert_notes()]).await.unwrap();
    commit(&mut lane, 0, 3).await;
    commit(&mut lane, 3, 1).await;
    assert_eq!(folder.shown(), ["_manifest.json", FIRST, SECOND]);
    replacing.sink().publish(&other, "other").await.unwrap();
    let now = "notes-000000000004-000000000004.csv";
    assert_eq!(folder.shown(), ["_manifest.json", FIRST, now]);
    assert_eq!(manifest(&folder)["job"], "other");
}

#[tokio::test]
async fn a_foreign_file_is_not_overwritten() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    std::fs::write(folder.path().join(FIRST), "mine").unwrap();
    let fault = folder.sink().publish(&claim, "export").await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Config, "{fault:?}");
    assert_eq!(std::fs::read(folder.path().join(FIRST)).unwrap(), b"mine");
}

#[tokio::test]
async fn parts_of_a_run_are_alike() {
    let folder = fresh().await;
    let (claim, mut lane) = folder.begin("export").await;
    commit(&mut lane, 0, 3).await;
    let json = TargetOptions::new(FileFormat::JsonLines);
    let other = folder.as_other(json, Existing::Refuse).await;
    let fault = other.lane(&claim, &[insert_notes()]).await.err().unwrap();
    assert!(fault.message().contains("must be alike"), "{fault:?}");
    let mut fewer = insert_notes();
    fewer.columns.truncate(1);
    assert!(folder.lane(&claim, &[fewer]).await.is_err());
    folder.lane(&claim, &[insert_notes()]).await.unwrap();
}

#[tokio::test]
async fn what_files_can_not_do_is_told_before() {
    let folder = Folder::new(csv(), Existing::Refuse).await;
    let update = notes::add_to_sums();
    let mut twice = insert_notes();
    twice.columns.push(WriteColumn { column: "label".into(), from: "label".into() });
    let cases = [(vec![update], "mode increment"), (vec![twice.clone(), twice], "two writes")];
    for (writes, why) in cases {
        let checks = folder.sink().check(&writes, &notes::items()).await;
        let faults: Vec<_> = checks.into_iter().filter_map(|check| check.result.err()).collect();
        assert!(faults.iter().any(|f| f.message().contains(why)), "{why}: {faults:?}");
    }
}
