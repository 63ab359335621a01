//! A small job that does all that a job can do, on a database of its own.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln::{Event, Fault, Observer, Report};
use kiln_jobfile::JobFile;
use kiln_testkit::TestDatabase;
use tempfile::TempDir;

use crate::on::On;
use crate::process::{self, Ended, PATIENCE};

const JOB: &str = r#"
name = "sales"

[params]
file = "in.csv"
url = ""

[source]
file = "${file}"

[source.columns]
amount = "int"
price = "decimal(10,2)"

[map]
sql = "SELECT code, amount, price, _line AS line FROM item WHERE code <> 'skip'"

[[require]]
rule = "price > 0"
message = "no price"

[[match]]
as = "item_id"
table = "items"
key = "id"
on = { code = "code" }
create = { code = "code" }

[target]
url = "${url}"
setup = "tables.sql"

[[write]]
table = "sales"
columns = { item = "item_id", amount = "amount", total = "amount * price", line = "line" }

[[write]]
table = "stock"
mode = "increment"
key = ["item_id"]
add = ["amount"]

[chunk]
items = "#;

/// What must become of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A row, and a share of a sum.
    Sold,
    /// Dropped by the mapper.
    Filtered,
    /// A dead letter of the source.
    Unreadable,
    /// A dead letter of the rule.
    NoPrice,
    /// A dead letter of the database.
    TooMany,
}

/// A line of the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) line: u64,
    pub(crate) fate: Fate,
    pub(crate) code: u64,
    pub(crate) amount: u64,
    /// In hundredths.
    pub(crate) price: u64,
}

impl Item {
    /// An item of the usual mixture.
    fn mixed(ordinal: u64) -> Self {
        let fate = match ordinal % 40 {
            7 => Fate::Filtered,
            13 => Fate::Unreadable,
            21 => Fate::NoPrice,
            33 => Fate::TooMany,
            _ => Fate::Sold,
        };
        Self::new(ordinal, fate)
    }

    pub(crate) fn new(ordinal: u64, fate: Fate) -> Self {
        Self {
            line: ordinal + 1,
            fate,
            code: ordinal * 7 % 5,
            amount: 1 + ordinal % 9,
            price: 1 + ordinal * 37 % 2_000,
        }
    }

    fn write(&self, text: &mut String) {
        let Self { code, amount, price, .. } = self;
        let price = format_args!("{}.{:02}", price / 100, price % 100);
        let _ = match self.fate {
            Fate::Sold => writeln!(text, "A{code},{amount},{price}"),
            Fate::Filtered => writeln!(text, "skip,{amount},{price}"),
            Fate::Unreadable => writeln!(text, "A{code},many,{price}"),
            Fate::NoPrice => writeln!(text, "A{code},{amount},0.00"),
            Fate::TooMany => writeln!(text, "A{code},5000,{price}"),
        };
    }
}

/// The job, its input and its database.
pub(crate) struct Sales {
    pub(crate) on: On,
    pub(crate) database: TestDatabase,
    pub(crate) items: Vec<Item>,
    folder: TempDir,
}

impl Sales {
    /// A job of so many items that commits chunks of so many.
    pub(crate) async fn new(on: On, items: u64, chunk: u64) -> Self {
        Self::with(on, items, chunk, "").await
    }

    /// The same with more lines in the job file.
    pub(crate) async fn with(on: On, items: u64, chunk: u64, more: &str) -> Self {
        Self::of(on.fresh().await, on, mixed(items), chunk, more)
    }

    /// A job of these items on this database.
    pub(crate) fn of(
        database: TestDatabase,
        on: On,
        items: Vec<Item>,
        chunk: u64,
        more: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut input = "code,amount,price\n".to_owned();
        items.iter().for_each(|item| item.write(&mut input));
        for (name, text) in [
            ("in.csv", input),
            ("tables.sql", on.tables().to_owned()),
            ("job.toml", format!("{JOB}{chunk}\n{more}")),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { on, database, items, folder }
    }

    /// Makes the tables, and then what else a test wants there.
    pub(crate) async fn prepare(&self, sql: &str) {
        self.database.execute(self.on.tables()).await;
        self.database.execute(sql).await;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the job in this process, which is quicker; `url` is a way to the
    /// database. Pauses before retries are short.
    ///
    /// # Errors
    /// Why it is not complete.
    pub(crate) async fn work(&self, url: &str) -> Result<Report, Fault> {
        self.watched(url, |_| ()).await
    }

    /// The same, while somebody watches.
    ///
    /// # Errors
    /// Why it is not complete.
    pub(crate) async fn watched(
        &self,
        url: &str,
        watch: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<Report, Fault> {
        let parameters = [("url".to_owned(), url.to_owned())];
        let built = JobFile::load(&self.path("job.toml"), &parameters);
        let mut built = match built {
            Ok(job) => job.build().await.map_err(|problem| problem.fault().clone())?,
            Err(problem) => panic!("{problem}"),
        };
        built.options.retry.base = Duration::from_millis(2);
        built.database.set_up().await?;
        let job = built.job.options(built.options).observe(Arc::new(Watch(watch)));
        let report = job.run().await;
        match &report.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(report),
        }
    }

    /// The command that starts the job.
    pub(crate) fn command(&self, url: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command
            .args(["run", "job.toml", "--report", "-", "--quiet"])
            .args(["--param", &format!("url={url}")])
            .current_dir(self.folder.path())
            .env_remove("KILN_CRASH_AT")
            .env_remove("KILN_LEASE_SECONDS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the job on the database itself.
    pub(crate) fn start(&self) -> Child {
        self.command(&self.database.url).spawn().unwrap()
    }

    /// Starts the job on the database itself and waits for its end.
    pub(crate) async fn run(&self) -> Ended {
        ended(self.start()).await
    }

    /// The same by another way to the database.
    pub(crate) async fn run_by(&self, url: &str) -> Ended {
        ended(self.command(url).spawn().unwrap()).await
    }

    /// How many items are settled; 0 before there is a ledger.
    pub(crate) async fn settled(&self) -> u64 {
        if !self.has_ledger().await {
            return 0;
        }
        let sql = format!("SELECT coalesce(sum(m.read), 0) FROM {} m", self.on.ledger("marks"));
        self.database.value(&sql).await.parse().unwrap()
    }

    pub(crate) async fn has_ledger(&self) -> bool {
        if let Some(path) = self.database.url.strip_prefix("sqlite:")
            && !std::path::Path::new(path).exists()
        {
            return false;
        }
        self.database.value(self.on.has_ledger()).await != "0"
    }

    /// Waits until a running job has settled more than so many items.
    pub(crate) async fn settles_more(&self, than: u64, child: &mut Child) {
        let began = Instant::now();
        while self.settled().await <= than {
            assert!(began.elapsed() < PATIENCE, "nothing is committed");
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was disturbed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until a query gives this value.
    pub(crate) async fn becomes(&self, sql: &str, value: &str) {
        let began = Instant::now();
        while self.database.value(sql).await != value {
            assert!(began.elapsed() < PATIENCE, "{sql} does not become {value}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Empties the database, and waits until nobody is there any more.
    pub(crate) async fn afresh(&mut self) {
        let Some(afresh) = self.on.afresh() else {
            self.database = self.on.fresh().await;
            return;
        };
        if let Some(end) = self.on.end_connections() {
            self.becomes(end, "0").await;
        }
        self.database.execute(afresh).await;
    }

    /// A later start in this process must not wait for the lease of a former
    /// one, whose process lives.
    pub(crate) async fn end_lease(&self) {
        if self.has_ledger().await {
            self.database.execute(self.on.end_lease()).await;
        }
    }
}

struct Watch<F>(F);

impl<F: Fn(&Event) + Send + Sync> Observer for Watch<F> {
    fn observe(&self, event: &Event) {
        (self.0)(event);
    }
}

/// So many items of the usual mixture.
pub(crate) fn mixed(items: u64) -> Vec<Item> {
    (1..=items).map(Item::mixed).collect()
}

/// Waits for a process, while others go on.
pub(crate) async fn ended(child: Child) -> Ended {
    tokio::task::spawn_blocking(move || process::wait(child)).await.unwrap()
}
