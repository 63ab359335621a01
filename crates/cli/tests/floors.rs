//! The rooms of the workspace and their floors: a crate uses only crates on
//! floors below its own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every crate of the workspace and its floor. A new crate gets a line here.
const FLOORS: [(&str, u8); 8] = [
    ("kiln-core", 0),
    ("kiln", 1),
    ("kiln-files", 2),
    ("kiln-databases", 2),
    ("kiln-sql", 2),
    ("kiln-matching", 2),
    ("kiln-jobfile", 3),
    ("kiln-cli", 4),
];

/// It stands beside the house: tests use it, and it uses core.
const TESTKIT: &str = "kiln-testkit";

/// Crates that are a runtime, or come only with one.
const RUNTIMES: [&str; 5] = ["tokio", "async-std", "smol", "futures-executor", "tokio-postgres"];

/// A crate's dependencies by name, and whether each is one of tests alone.
type Packages = BTreeMap<String, Vec<(String, bool)>>;

fn packages() -> Packages {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependency = |d: &Value| (text(&d["name"]), d["kind"].as_str() == Some("dev"));
    let package = |p: &Value| {
        (text(&p["name"]), p["dependencies"].as_array().unwrap().iter().map(dependency).collect())
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

/// What a crate is built of, tests left out.
fn built_of<'a>(packages: &'a Packages, name: &str) -> Vec<&'a str> {
    packages[name].iter().filter(|(_, dev)| !dev).map(|(d, _)| d.as_str()).collect()
}

/// What breaks the rule, as sentences.
fn broken(packages: &Packages) -> Vec<String> {
    let floors = BTreeMap::from(FLOORS);
    let mut broken = Vec::new();
    for (name, floor) in FLOORS {
        for dependency in built_of(packages, name) {
            match floors.get(dependency) {
                Some(below) if *below >= floor => broken
                    .push(format!("{name} on floor {floor} uses {dependency} on floor {below}")),
                None if dependency == TESTKIT => {
                    broken.push(format!("{name} uses {TESTKIT} outside its tests"));
                }
                _ => {}
            }
        }
    }
    broken
}

#[test]
fn every_crate_of_the_workspace_has_a_floor() {
    let listed: BTreeSet<String> =
        FLOORS.iter().map(|(name, _)| *name).chain([TESTKIT]).map(str::to_owned).collect();
    let there: BTreeSet<String> = packages().into_keys().collect();
    assert_eq!(there, listed);
}

#[test]
fn crates_use_only_floors_below_their_own() {
    assert_eq!(broken(&packages()), Vec::<String>::new());
}

#[test]
fn a_crate_that_uses_its_own_floor_is_seen() {
    let mut packages = packages();
    packages.get_mut("kiln-sql").unwrap().push(("kiln-files".to_owned(), false));
    packages.get_mut("kiln-core").unwrap().push(("kiln".to_owned(), false));
    packages.get_mut("kiln-cli").unwrap().push((TESTKIT.to_owned(), false));
    assert_eq!(
        broken(&packages),
        [
            "kiln-core on floor 0 uses kiln on floor 1",
            "kiln-sql on floor 2 uses kiln-files on floor 2",
            "kiln-cli uses kiln-testkit outside its tests",
        ]
    );
}

#[test]
fn core_knows_no_runtime() {
    let packages = packages();
    for dependency in built_of(&packages, "kiln-core") {
        assert!(!RUNTIMES.contains(&dependency), "kiln-core uses {dependency}");
    }
}

#[test]
fn only_the_room_of_sql_knows_datafusion() {
    for (name, dependencies) in packages() {
        let of_datafusion = |d: &&(String, bool)| d.0.starts_with("datafusion");
        let known: Vec<_> = dependencies.iter().filter(of_datafusion).collect();
        assert_eq!(known.is_empty(), name != "kiln-sql", "{name}: {known:?}");
    }
}

#[test]
fn the_testkit_uses_core_alone() {
    let floors = BTreeMap::from(FLOORS);
    let packages = packages();
    let ours: Vec<&str> =
        built_of(&packages, TESTKIT).into_iter().filter(|d| floors.contains_key(d)).collect();
    assert_eq!(ours, ["kiln-core"]);
}
