//! What is said of a job file that is wrong, and at which line.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use kiln_jobfile::{JobFile, Problem};
use miette::{GraphicalReportHandler, GraphicalTheme};
use tempfile::TempDir;

const GOOD: &str = r#"name = "sales"
[params]
file = "in.csv"
limit = 5
[source]
file = "${file}"
[source.columns]
n = "int"
[map]
sql = "SELECT n, name, n * 2 AS twice FROM item"
[[require]]
rule = "n > 0"
message = "n must be positive"
[target]
url = "sqlite:out.db"
setup = "schema.sql"
[[write]]
table = "sales"
columns = ["n", "name"]
[chunk]
items = 10
[limits]
failed = "5%"
"#;

/// A folder with a job file, its input and its set-up script.
fn folder(job: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("job.toml"), job).unwrap();
    fs::write(folder.path().join("in.csv"), "n,name\n1,a\n").unwrap();
    let schema = "CREATE TABLE IF NOT EXISTS sales (n INTEGER, name TEXT);";
    fs::write(folder.path().join("schema.sql"), schema).unwrap();
    folder
}

async fn build(folder: &Path, given: &[(&str, &str)]) -> Result<(), Problem> {
    let given: Vec<(String, String)> =
        given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    JobFile::load(&folder.join("job.toml"), &given)?.build().await.map(|_| ())
}

fn rendered(problem: &Problem, folder: &Path) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none());
    let mut text = String::new();
    handler.with_wrap_lines(false).render_report(&mut text, problem).unwrap();
    text.replace(&format!("{}/", folder.display()), "")
}

/// The good job with one line replaced, and what is said of it.
async fn said(old: &str, new: &str) -> String {
    assert_eq!(GOOD.matches(old).count(), 1, "{old:?} stands once in the job");
    let folder = folder(&GOOD.replace(old, new));
    let problem = build(folder.path(), &[]).await.expect_err(new);
    assert!(!folder.path().join("out.db").exists(), "nothing was written: {new}");
    rendered(&problem, folder.path())
}

#[tokio::test]
async fn the_job_without_a_mistake_is_built() {
    let folder = folder(GOOD);
    build(folder.path(), &[]).await.unwrap();
    assert!(!folder.path().join("out.db").exists(), "building writes nothing");
}

#[tokio::test]
async fn keys() {
    insta::assert_snapshot!("unknown_key", said("file = \"${file}\"", "fiel = \"${file}\"").await);
    insta::assert_snapshot!("unknown_table", said("[limits]", "[limit]").await);
    insta::assert_snapshot!("unknown_key_far_from_all", said("items = 10", "password = 10").await);
    insta::assert_snapshot!("missing_key", said("table = \"sales\"\n", "").await);
    insta::assert_snapshot!("key_twice", said("items = 10", "items = 10\nitems = 11").await);
}

#[tokio::test]
async fn values() {
    insta::assert_snapshot!("wrong_type", said("file = \"${file}\"", "file = 5").await);
    insta::assert_snapshot!("no_toml", said("items = 10", "items = ").await);
    insta::assert_snapshot!("column_type", said("n = \"int\"", "n = \"intger\"").await);
    insta::assert_snapshot!("limit", said("failed = \"5%\"", "failed = \"abc\"").await);
    insta::assert_snapshot!("percentage", said("failed = \"5%\"", "failed = \"105%\"").await);
    insta::assert_snapshot!("mode", said("columns = [\"n\", \"name\"]", "mode = \"insret\"").await);
    insta::assert_snapshot!("negative_number", said("failed = \"5%\"", "retries = -1").await);
}

#[tokio::test]
async fn names_of_columns() {
    insta::assert_snapshot!("column_of_the_file", said("n = \"int\"", "nn = \"int\"").await);
    insta::assert_snapshot!("column_in_sql", said("SELECT n,", "SELECT nam,").await);
    insta::assert_snapshot!("column_in_a_rule", said("n > 0", "m > 0").await);
    insta::assert_snapshot!(
        "column_of_a_write",
        said("[\"n\", \"name\"]", "[\"n\", \"nmae\"]").await
    );
    insta::assert_snapshot!(
        "expression_of_a_write",
        said("[\"n\", \"name\"]", "{ n = \"n\", name = \"uper(name)\" }").await
    );
}

#[tokio::test]
async fn sql() {
    insta::assert_snapshot!("sql_syntax", said("SELECT n,", "SELEKT n,").await);
    insta::assert_snapshot!("sql_aggregate", said("n * 2 AS twice", "sum(n) AS twice").await);
    insta::assert_snapshot!("rule_is_no_condition", said("n > 0", "n + 1").await);
}

#[tokio::test]
async fn parameters() {
    insta::assert_snapshot!("unknown_name", said("\"${file}\"", "\"${KILN_FIEL}\"").await);
    insta::assert_snapshot!("unclosed_name", said("\"${file}\"", "\"${file\"").await);
    let folder = folder(GOOD);
    let problem = build(folder.path(), &[("fil", "x.csv")]).await.unwrap_err();
    assert!(problem.is_usage());
    insta::assert_snapshot!("parameter_not_declared", rendered(&problem, folder.path()));
}

#[tokio::test]
async fn what_is_not_there_yet_is_refused_by_its_name() {
    let cases = [
        ("items = 10", "items = \"auto\"".to_owned()),
        ("failed = \"5%\"", "rate = \"5000/s\"".to_owned()),
        ("\"in.csv\"", "\"in.xlsx\"".to_owned()),
    ];
    for (old, new) in cases {
        let text = said(old, &new).await;
        assert!(text.contains("not there yet"), "{new}:\n{text}");
    }
    let text = said("\"in.csv\"", "\"ftp://host/in.csv\"").await;
    assert!(text.contains("neither a path nor a URL of a file"), "{text}");
}

#[tokio::test]
async fn writes_that_contradict_themselves() {
    let columns = "columns = [\"n\", \"name\"]";
    for (new, why) in [
        ("key = [\"n\"]", "mode insert has no key"),
        ("add = [\"n\"]", "mode insert has no add"),
        ("on_duplicate = \"last\"", "mode insert has no on_duplicate"),
        ("mode = \"increment\"\nkey = [\"name\"]", "needs to know what to add"),
        ("mode = \"increment\"\nadd = [\"n\"]", "mode increment needs a key"),
        ("mode = \"increment\"\ncolumns = [\"n\"]", "mode increment has no columns"),
        ("mode = \"upsert\"", "mode upsert needs a key"),
        ("mode = \"delete\"", "mode delete needs a key"),
        ("mode = \"ignore\"\nkey = [\"n\"]\non_duplicate = \"last\"", "passed over"),
        ("mode = \"delete\"\nkey = [\"n\"]\non_duplicate = \"last\"", "stays gone"),
        ("mode = \"update\"\nkey = [\"nam\"]", "the key nam is not written"),
        ("mode = \"update\"\nkey = [\"n\"]\ncolumns = [\"name\"]", "the key n is not written"),
        ("mode = \"delete\"\nkey = [\"m\"]", "no column"),
        ("mode = \"upsert\"\nkey = [\"n\"]\non_duplicate = \"lst\"", "did you mean `last`"),
    ] {
        let text = said(columns, new).await;
        assert!(text.contains(why), "{new}:\n{text}");
    }
}

#[tokio::test]
async fn matches_that_can_not_be() {
    let head = "[[match]]\nas = \"id\"\ntable = \"sales\"\nkey = \"n\"\n";
    for (rest, why) in [
        ("", "`on` names no column"),
        ("on = {}", "`on` names no column"),
        ("fuzzy = { name = \"nam\" }", "the item has no column nam"),
        ("fuzzy = { name = \"name\", at_leest = 0.9 }", "did you mean `at_least`"),
        ("fuzzy = { name = \"name\", at_least = 90 }", "at_least = 90 is no share"),
        ("fuzzy = { name = \"name\", margin = -1 }", "margin = -1 is no share"),
        ("fuzzy = { at_least = 0.9 }", "`fuzzy` compares no text"),
        ("fuzzy = { n = { from = \"n\", as = \"number\" } }", "`fuzzy` compares no text"),
        ("fuzzy = { name = { from = \"name\", as = \"nmber\" } }", "did you mean `number`"),
        ("fuzzy = { name = { from = \"name\", wait = 2 } }", "did you mean `weight`"),
        ("fuzzy = { name = { from = \"name\", weight = 0 } }", "a weight must be above 0"),
        ("fuzzy = { name = true }", "a number, a string or a table"),
        ("fuzzy = { nam = \"name\" }", "nam"),
        ("fuzzy = { name = \"name\" }\nootherwise = \"null\"", "did you mean `otherwise`"),
        ("fuzzy = { name = \"name\" }\notherwise = \"nul\"", "did you mean `null`"),
        ("fuzzy = { name = \"name\" }\notherwise = \"create\"", "what a new row is filled with"),
        (
            "on = { n = \"n\" }\ncreate = { name = \"name\" }\notherwise = \"null\"",
            "no row is created",
        ),
        ("fuzzy = { name = \"name\" }\nmemory = \"much\"", "no amount of memory"),
        (
            "on = { n = \"n\" }\nremember = { table = \"t\", text = \"a\", key = \"k\" }",
            "only what `fuzzy` finds is remembered",
        ),
        (
            "fuzzy = { name = \"name\" }\nremember = { table = \"t\", text = \"a\", key = \"k\" }",
            "no table t",
        ),
        (
            "fuzzy = { name = \"name\" }\n\
             remember = { table = \"sales\", text = \"name\", key = \"n\" }",
            "unique",
        ),
    ] {
        let text = said("[chunk]", &format!("{head}{rest}\n[chunk]")).await;
        assert!(text.contains(why), "{rest}:\n{text}");
    }
}

#[tokio::test]
async fn set_up_scripts() {
    let setup = "setup = \"schema.sql\"";
    for (new, why) in [
        ("setup = \"other.sql\"", "there is no set-up script"),
        ("setup = { postgres = \"schema.sql\" }", "there is no set-up script for sqlite"),
        ("setup = { sqlit = \"schema.sql\" }", "did you mean `sqlite`"),
        ("setup = \"in.csv\"", "in.csv"),
    ] {
        let text = said(setup, new).await;
        assert!(text.contains(why), "{new}:\n{text}");
    }
}

#[tokio::test]
async fn paths_do_not_leave_the_folder() {
    for (old, new) in [
        ("\"in.csv\"", "\"../in.csv\""),
        ("\"sqlite:out.db\"", "\"sqlite:../out.db\""),
        ("\"schema.sql\"", "\"../schema.sql\""),
    ] {
        let text = said(old, new).await;
        assert!(text.contains("leads out of the job file's folder"), "{text}");
    }
    // From the command line a path may lead anywhere; it starts where we are.
    let (job, other) = (folder(GOOD), folder(GOOD));
    let elsewhere = other.path().join("in.csv");
    build(job.path(), &[("file", elsewhere.to_str().unwrap())]).await.unwrap();
    let here = build(job.path(), &[("file", "in.csv")]).await.unwrap_err();
    assert_eq!(here.fault().kind(), kiln_core::Kind::InputMissing, "{here}");
}

#[test]
fn a_password_in_the_job_file_is_warned_of_and_never_shown() {
    let url = "url = \"postgres://ann:canary@db/shop\"";
    let folder = folder(&GOOD.replace("url = \"sqlite:out.db\"", url));
    let job = JobFile::load(&folder.path().join("job.toml"), &[]).unwrap();
    assert_eq!(job.shown_url(), "postgres://ann:***@db/shop");
    let [warning] = job.warnings() else { panic!("one warning: {:?}", job.warnings()) };
    let text = rendered(warning, folder.path());
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!("password", text);
}

#[test]
fn a_password_in_a_step_is_warned_of_as_well() {
    let source = "source = { url = \"postgres://ann:canary@db/shop\", table = \"sales\" }";
    let text = STEPS.replacen("[step.source]\nfile = \"in.csv\"", source, 1);
    let folder = folder(&text);
    let job = JobFile::load(&folder.path().join("job.toml"), &[]).unwrap();
    let [warning] = job.warnings() else { panic!("one warning: {:?}", job.warnings()) };
    assert!(warning.place().unwrap().ends_with("job.toml:9"), "{warning:?}");
    assert!(!rendered(warning, folder.path()).contains("canary"));
}

#[test]
fn passwords_are_no_parameters_of_a_run() {
    let text = GOOD
        .replace("limit = 5", "limit = 5\nsecret = \"\"\nurl = \"sqlite:out.db\"")
        .replace("url = \"sqlite:out.db\"\nsetup", "url = \"${url}\"\nsetup");
    let folder = folder(&text);
    let url = ("url".to_owned(), "postgres://ann:canary@db/shop".to_owned());
    let secret = ("secret".to_owned(), "canary".to_owned());
    let job = JobFile::load(&folder.path().join("job.toml"), &[url, secret]).unwrap();
    let expected =
        r#"{"file":"in.csv","limit":"5","secret":"***","url":"postgres://ann:***@db/shop"}"#;
    assert_eq!(job.parameters(), expected);
    assert_eq!(job.target_url(), "postgres://ann:canary@db/shop");
}

/// A job of two steps.
const STEPS: &str = r#"name = "sales"
[target]
url = "sqlite:out.db"
setup = "schema.sql"
[chunk]
items = 10
[[step]]
name = "first"
[step.source]
file = "in.csv"
[[step.write]]
table = "sales"
columns = ["n", "name"]
[[step]]
name = "second"
needs = ["first"]
[step.source]
file = "in.csv"
[step.map]
sql = "SELECT n, name FROM item"
[[step.write]]
table = "sales"
"#;

#[tokio::test]
async fn steps() {
    let folder = folder(STEPS);
    build(folder.path(), &[]).await.unwrap();
    let said = async |old: &str, new: &str| {
        assert_eq!(STEPS.matches(old).count(), 1, "{old:?} stands once in the job");
        fs::write(folder.path().join("job.toml"), STEPS.replace(old, new)).unwrap();
        rendered(&build(folder.path(), &[]).await.expect_err(new), folder.path())
    };
    let needs = "needs = [\"first\"]";
    insta::assert_snapshot!("step_unknown", said(needs, "needs = [\"frist\"]").await);
    insta::assert_snapshot!("step_twice", said("\"second\"", "\"first\"").await);
    let circle = "name = \"first\"\nneeds = [\"second\"]";
    insta::assert_snapshot!("step_circle", said("name = \"first\"", circle).await);
    insta::assert_snapshot!("step_name", said("\"second\"", "\"a b\"").await);
    insta::assert_snapshot!("step_unknown_key", said(needs, "need = [\"first\"]").await);
    insta::assert_snapshot!("step_sql", said("SELECT n,", "SELECT m,").await);
    let beside = "[source]\nfile = \"in.csv\"\n[chunk]";
    insta::assert_snapshot!("step_beside_source", said("[chunk]", beside).await);
    let no_write = "[[step.write]]\ntable = \"sales\"\ncolumns = [\"n\", \"name\"]\n";
    insta::assert_snapshot!("step_writes_nothing", said(no_write, "").await);
    insta::assert_snapshot!("step_limit", said(needs, "chunk = { items = -1 }").await);
    insta::assert_snapshot!("steps_none", said("[chunk]", "[limits]\nsteps = 0\n[chunk]").await);
    insta::assert_snapshot!("steps_in_a_step", said(needs, "limits = { steps = 2 }").await);
    let nothing = "[step.source]\nfile = \"in.csv\"\n[step.map]";
    insta::assert_snapshot!("step_does_nothing", said(nothing, "[step.map]").await);
}

#[tokio::test]
async fn a_job_needs_a_source_or_steps() {
    let text = said("[source]\nfile = \"${file}\"\n[source.columns]\nn = \"int\"\n", "").await;
    insta::assert_snapshot!("no_source", text);
}

#[tokio::test]
async fn a_preview_is_of_all_steps_or_of_one() {
    let folder = folder(STEPS);
    let job = JobFile::load(&folder.path().join("job.toml"), &[]).unwrap();
    let names = |previews: Vec<kiln_jobfile::Preview>| {
        previews.into_iter().map(|p| p.step.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(job.preview(1, None).await.unwrap()), ["first", "second"]);
    assert_eq!(names(job.preview(1, Some("second")).await.unwrap()), ["second"]);
    let unknown = job.preview(1, Some("secnd")).await.unwrap_err();
    assert!(unknown.is_usage());
    assert!(unknown.fault().hint().unwrap().contains("did you mean `second`"), "{unknown:?}");
    assert!(!folder.path().join("out.db").exists(), "nothing was written");
}
