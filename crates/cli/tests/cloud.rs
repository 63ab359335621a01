//! Jobs that read from and write to object stores, by the real binary against a
//! real S3 server; and what is said where a build has none.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use common::Place;

#[cfg(not(feature = "cloud"))]
#[test]
fn a_build_without_object_stores_says_how_to_get_them() {
    let job = common::JOB.replace("file = \"${file}\"", "file = \"s3://shop/in.csv\"");
    let place = Place::new();
    place.write("job.toml", &job);
    let checked = place.kiln(&["validate", "job.toml"]).exits(78);
    assert!(checked.stdout.contains("--features cloud"), "{}", checked.stdout);
    let target = "url = \"s3://shop/out\"\nformat = \"csv\"\nledger = \"sqlite:l.db\"";
    let (front, _) = job.split_once("[[match]]").unwrap();
    let job = format!("{front}\n[target]\n{target}\n[[write]]\ntable = \"t\"\n");
    place.write("job.toml", &job.replace("s3://shop/in.csv", "in.csv"));
    let checked = place.kiln(&["validate", "job.toml"]).exits(78);
    assert!(checked.stdout.contains("--features cloud"), "{}", checked.stdout);
}

#[cfg(feature = "cloud")]
mod with {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use kiln_testkit::s3::{ACCESS_KEY, S3, SECRET_KEY};
    use serde_json::Value;

    use super::Place;
    use super::common::Ended;

    const ITEMS: u64 = 3_000;

    /// The job from files of the store to a database here.
    const FROM: &str = r#"name = "from"
[source]
file = "s3://shop/in/*.csv.zst"
[source.columns]
id = "int"
[target]
url = "sqlite:out.db"
setup = "rows.sql"
[[write]]
table = "rows"
columns = { id = "id", file = "_file" }
[chunk]
items = 100
"#;

    /// The job from a file here to parts in the store.
    const TO: &str = r#"name = "to"
[source]
file = "in.csv"
[source.columns]
id = "int"
[target]
url = "s3://shop/out/march"
format = "parquet"
ledger = "sqlite:ledger.db"
[[write]]
table = "rows"
[chunk]
items = 500
"#;

    fn place(job: &str) -> Place {
        let place = Place::new();
        place.write("job.toml", job);
        place.write("rows.sql", "CREATE TABLE IF NOT EXISTS rows (id INTEGER, file TEXT);");
        place.write("in.csv", &csv(1..=ITEMS));
        place
    }

    fn csv(ids: impl Iterator<Item = u64>) -> String {
        std::iter::once("id\n".to_owned()).chain(ids.map(|id| format!("{id}\n"))).collect()
    }

    fn command(place: &Place, server: &S3, args: &[&str]) -> Command {
        let mut command = place.command(args);
        command
            .env("AWS_ENDPOINT", server.url())
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env_remove("KILN_CRASH_AT")
            .stdin(Stdio::null());
        command
    }

    fn kiln(place: &Place, server: &S3, args: &[&str]) -> Ended {
        let ended = Ended::of(command(place, server, args).output().unwrap());
        for said in [&ended.stdout, &ended.stderr] {
            assert!(!said.contains(SECRET_KEY), "{said}");
        }
        ended
    }

    fn with_files() -> S3 {
        let server = S3::start(true);
        for (name, ids) in [("b", 1001..=2000), ("a", 1..=1000), ("c", 2001..=ITEMS)] {
            let packed = zstd::encode_all(csv(ids).as_bytes(), 1).unwrap();
            server.put(&format!("in/{name}.csv.zst"), packed);
        }
        server.put("in/other.txt", "no csv");
        server.put("in/deep/d.csv.zst", "not meant");
        server
    }

    fn assert_read(place: &Place) {
        assert_eq!(place.sql("SELECT count(*) FROM rows"), ITEMS.to_string());
        assert_eq!(place.sql("SELECT count(DISTINCT id) FROM rows"), ITEMS.to_string());
        assert_eq!(place.sql("SELECT file FROM rows WHERE id = 1500"), "b.csv.zst");
    }

    #[test]
    fn files_of_a_store_are_read_once() {
        let (server, place) = (with_files(), place(FROM));
        kiln(&place, &server, &["validate", "job.toml"]).exits(0);
        kiln(&place, &server, &["run", "job.toml"]).exits(0);
        assert_read(&place);
        let ended = kiln(&place, &server, &["run", "job.toml"]).exits(0);
        assert!(ended.stdout.contains("already complete"), "{}", ended.stdout);
    }

    /// B32: killed in the middle, it goes on in the file where it was.
    #[test]
    fn a_run_from_a_store_is_resumed() {
        let (server, place) = (with_files(), place(FROM));
        for at in ["write:7", "committed:9"] {
            let mut run = command(&place, &server, &["run", "job.toml"]);
            assert!(!run.env("KILN_CRASH_AT", at).output().unwrap().status.success());
        }
        // A file that is another one now is noticed.
        let kept = std::fs::read(server.path("in/c.csv.zst")).unwrap();
        server.put("in/c.csv.zst", zstd::encode_all(csv(1..=9).as_bytes(), 1).unwrap());
        kiln(&place, &server, &["run", "job.toml"]).exits(78).says("changed since the run began");
        server.put("in/c.csv.zst", kept);
        kiln(&place, &server, &["run", "job.toml", "--accept-changed-input"]).exits(0);
        assert_read(&place);
    }

    /// The ids in a part, and its name.
    fn ids(server: &S3, manifest: &Value) -> Vec<u64> {
        use arrow_array::cast::AsArray as _;
        use arrow_array::types::Int64Type;
        use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
        let mut all = Vec::new();
        for part in manifest["tables"][0]["parts"].as_array().unwrap() {
            let path = server.path(&format!("out/march/{}", part["file"].as_str().unwrap()));
            let file = std::fs::File::open(&path).unwrap();
            assert_eq!(part["bytes"], file.metadata().unwrap().len());
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
            for batch in reader.map(Result::unwrap) {
                let column = batch.column(0).as_primitive::<Int64Type>().clone();
                all.extend(column.values().iter().map(|id| *id as u64));
            }
        }
        all
    }

    /// What a reader of the store sees, names that begin with a dot left out.
    fn shown(server: &S3) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(server.path("out/march")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    fn assert_written(server: &S3, what: &str) {
        let mut text = String::new();
        let manifest = std::fs::File::open(server.path("out/march/_manifest.json"));
        manifest.unwrap().read_to_string(&mut text).unwrap();
        let manifest: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ids(server, &manifest), (1..=ITEMS).collect::<Vec<_>>(), "{what}");
        let parts = manifest["tables"][0]["parts"].as_array().unwrap().len();
        assert_eq!(shown(server).len(), parts + 1, "{what}: {:?}", shown(server));
        let mut aside = vec![server.path("out/march/.kiln")];
        while let Some(folder) = aside.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for path in entries.map(|entry| entry.unwrap().path()) {
                assert!(path.is_dir(), "{what}: {} is left", path.display());
                aside.push(path);
            }
        }
    }

    /// B32: at each point of the first, a middle and the last chunk, and while
    /// parts get their names.
    #[test]
    fn parts_in_a_store_are_there_once() {
        for at in [
            "",
            "begin:1",
            "staged:3",
            "mark:6",
            "committed:2",
            "committed:6",
            "publish:1",
            "publish:4",
            "manifest:1",
            "published:1",
        ] {
            let (server, place) = (S3::start(true), place(TO));
            if !at.is_empty() {
                let mut run = command(&place, &server, &["run", "job.toml"]);
                assert!(!run.env("KILN_CRASH_AT", at).output().unwrap().status.success(), "{at}");
                let whole = shown(&server).iter().any(|name| name == "_manifest.json");
                assert_eq!(whole, at == "published:1", "{at}");
                place.write("job.toml", &TO.replace("items = 500", "items = 700"));
            }
            kiln(&place, &server, &["run", "job.toml"]).exits(0);
            assert_written(&server, at);
            let again = kiln(&place, &server, &["run", "job.toml"]).exits(0);
            assert!(again.stdout.contains("already complete"));
            let ledger = std::fs::read(place.path("ledger.db")).unwrap();
            let secret = SECRET_KEY.as_bytes();
            assert!(!ledger.windows(secret.len()).any(|bytes| bytes == secret));
        }
    }

    /// Large parts are sent in pieces, and read again.
    #[test]
    fn a_large_part_is_sent_in_pieces() {
        let (server, place) = (S3::start(true), place(&TO.replace("parquet", "csv")));
        let line = "x".repeat(10_000);
        let text: String = (1..=ITEMS).map(|id| format!("{id},{line}\n")).collect();
        place.write("in.csv", &format!("id,text\n{text}"));
        place.write(
            "job.toml",
            &TO.replace("parquet", "csv").replace("items = 500", "items = 3000"),
        );
        kiln(&place, &server, &["run", "job.toml"]).exits(0);
        let file = server.path("out/march/rows-000000000001-000000003000.csv");
        assert_eq!(std::fs::read_to_string(file).unwrap(), format!("id,text\n{text}"));
    }

    #[test]
    fn what_is_wrong_is_told_and_no_secret_with_it() {
        let (server, place) = (with_files(), place(FROM));
        let wrong = command(&place, &server, &["run", "job.toml"])
            .env("AWS_SECRET_ACCESS_KEY", "not-the-canary")
            .output()
            .unwrap();
        let wrong = Ended::of(wrong).exits(77);
        assert!(!wrong.stderr.contains("not-the-canary"), "{}", wrong.stderr);
        place.write("job.toml", &FROM.replace("in/*.csv.zst", "nothing/*.csv"));
        kiln(&place, &server, &["run", "job.toml"]).exits(66).says("there is no file s3://shop");
        place.write("job.toml", &TO.replace("ledger = \"sqlite:ledger.db\"\n", ""));
        let ended = kiln(&place, &server, &["validate", "job.toml"]).exits(78);
        assert!(ended.stdout.contains("ledger = "), "{}", ended.stdout);
        let replace = TO.replace("format =", "existing = \"replace\"\nformat =");
        place.write("job.toml", &replace);
        let ended = kiln(&place, &server, &["validate", "job.toml"]).exits(78);
        assert!(ended.stdout.contains("nothing is replaced"), "{}", ended.stdout);
    }
}
