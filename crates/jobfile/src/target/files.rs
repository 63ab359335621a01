//! A folder of files as a target, with the database that keeps its ledger.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use kiln_core::{
    Catalog, CatalogSize, CatalogSpec, Check, Fault, Key, Ledger, Result as Outcome, Sink, Source,
    TableSpec,
};
use kiln_databases::{Database, Script, connect};
use kiln_files::{
    Book, Existing, FileFormat, FileSink, HIDDEN, Packing, TargetOptions, check_book, is_store,
    parts_script,
};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::TargetSpec;

/// Where the ledger is, inside the target's folder, if nothing else is said.
const LEDGER: &str = "ledger.db";

/// What the URL of a folder begins with.
const SCHEME: &str = "file:";

/// Whether a URL is that of a folder, here or in an object store.
pub(super) fn is_url(url: &str) -> bool {
    url.starts_with(SCHEME) || is_store(Path::new(url))
}

/// A folder, and the database beside it. Nothing is opened yet.
pub(super) async fn open(job: &JobFile) -> Result<Arc<dyn Database>, Problem> {
    let target = &job.spec().target;
    if let Some(setup) = &target.setup {
        let fault = Fault::config("`setup` means nothing where the target is files");
        return Err(job.problem(setup.span(), fault.with_hint("leave it out")));
    }
    let url = job.target_url();
    let folder = url.strip_prefix(SCHEME).map(|path| path.strip_prefix("//").unwrap_or(path));
    let folder = folder.map(PathBuf::from);
    let options = options(job, target)?;
    let existing = existing(job, target)?;
    let ledger = ledger(job, target, folder.as_deref()).await?;
    let beside = folder.as_ref().filter(|_| target.ledger.is_none()).map(|f| f.join(HIDDEN));
    let book = Arc::new(LedgerBook { database: Arc::clone(&ledger), beside });
    let sink = match &folder {
        Some(folder) => FileSink::in_folder(folder, options, existing, book),
        None => {
            refuse_replace(job, target, existing)?;
            let sink = FileSink::in_store(url, options, book);
            sink.map_err(|fault| job.problem(target.span(), fault))?
        }
    };
    Ok(Arc::new(FileTarget { folder, sink: Arc::new(sink), ledger }))
}

/// The database that keeps the ledger: as the job says, or in the folder.
async fn ledger(
    job: &JobFile,
    target: &TargetSpec,
    folder: Option<&Path>,
) -> Result<Arc<dyn Database>, Problem> {
    let (url, place) = match (&target.ledger, folder) {
        (Some(url), _) => (job.resolved_url(url)?, url.span()),
        (None, Some(folder)) => {
            let path = folder.join(HIDDEN).join(LEDGER);
            (format!("sqlite:{}", path.display()), target.span())
        }
        (None, None) => {
            let fault = Fault::config("an object store can't keep the ledger")
                .with_hint("say where it is kept: ledger = \"sqlite:ledger.db\"");
            return Err(job.problem(target.span(), fault));
        }
    };
    let name = "the ledger's table of parts".to_owned();
    let script = Script { name, sql: parts_script().to_owned() };
    connect(&url, Some(script)).await.map_err(|fault| job.problem(place, fault))
}

/// Nothing keeps two runners from replacing files in a store at once.
fn refuse_replace(job: &JobFile, target: &TargetSpec, existing: Existing) -> Result<(), Problem> {
    match (&target.existing, existing) {
        (Some(word), Existing::Replace) => {
            let fault = Fault::config("nothing is replaced in an object store")
                .with_hint("name another folder, for example by a parameter");
            Err(job.problem(word.span(), fault))
        }
        _ => Ok(()),
    }
}

fn options(job: &JobFile, target: &TargetSpec) -> Result<TargetOptions, Problem> {
    let format = format(job, target)?;
    let mut options = TargetOptions::new(format);
    if let Some(word) = &target.compression {
        let wrong = |fault| job.problem(word.span(), fault);
        options.packing = Packing::parse(&word.get_ref().to_ascii_lowercase()).map_err(wrong)?;
        let of_pages = matches!(options.packing, Packing::Snappy | Packing::Lz4);
        if of_pages && options.format != FileFormat::Parquet {
            let fault = Fault::config(format!("text is not packed with {}", options.packing));
            return Err(wrong(fault.with_hint("take gzip or zstd")));
        }
    }
    options.required =
        target.required.iter().flat_map(|w| w.get_ref()).map(|w| w.get_ref().clone()).collect();
    Ok(options)
}

fn format(job: &JobFile, target: &TargetSpec) -> Result<FileFormat, Problem> {
    const FORMATS: [&str; 4] = ["csv", "tsv", "jsonl", "parquet"];
    let Some(word) = &target.format else {
        let fault = Fault::config("the format of the files is not said")
            .with_hint("add format = \"csv\", \"tsv\", \"jsonl\" or \"parquet\"");
        return Err(job.problem(target.span(), fault));
    };
    let format = word.get_ref().to_ascii_lowercase();
    if !matches!(format.as_str(), "csv" | "tsv") {
        let of_csv = of_csv(target).into_iter().find_map(|(key, span)| Some((key, span?)));
        if let Some((key, span)) = of_csv {
            let fault = Fault::config(format!("`{key}` means nothing in {format}"));
            return Err(job.problem(span, fault.with_hint("leave it out")));
        }
    }
    match format.as_str() {
        "csv" => csv(job, target, b','),
        "tsv" => csv(job, target, b'\t'),
        "jsonl" | "ndjson" => Ok(FileFormat::JsonLines),
        "parquet" => Ok(FileFormat::Parquet),
        other => {
            let fault = Fault::config(format!("{other:?} is no format of a target"))
                .with_hint(suggestion("formats", other, &FORMATS));
            Err(job.problem(word.span(), fault))
        }
    }
}

fn csv(job: &JobFile, target: &TargetSpec, usual: u8) -> Result<FileFormat, Problem> {
    let delimiter = match &target.delimiter {
        None => usual,
        Some(word) => match word.get_ref().as_bytes() {
            [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => *byte,
            _ => {
                let what = format!("{:?} can't stand between fields", word.get_ref());
                let fault = Fault::config(what).with_hint("it is one ASCII character");
                return Err(job.problem(word.span(), fault));
            }
        },
    };
    let null = target.null.as_ref().map(|word| word.get_ref().clone()).unwrap_or_default();
    if null.bytes().any(|b| b == delimiter || b"\"\r\n".contains(&b)) {
        let span = target.null.as_ref().map(Spanned::span).unwrap_or_default();
        let fault = Fault::config("what stands for NULL is written without quotes")
            .with_hint("it can't hold the delimiter, a quote or a line end");
        return Err(job.problem(span, fault));
    }
    let header = target.header.as_ref().is_none_or(|header| *header.get_ref());
    Ok(FileFormat::Csv { delimiter, header, null })
}

fn existing(job: &JobFile, target: &TargetSpec) -> Result<Existing, Problem> {
    let Some(word) = &target.existing else { return Ok(Existing::default()) };
    match word.get_ref().as_str() {
        "refuse" => Ok(Existing::Refuse),
        "replace" => Ok(Existing::Replace),
        other => {
            let fault = Fault::config(format!("{other:?} does not say what to do"))
                .with_hint(suggestion("existing is one of", other, &["refuse", "replace"]));
            Err(job.problem(word.span(), fault))
        }
    }
}

type Keys = Vec<(&'static str, Option<Range<usize>>)>;

fn span(word: &Option<Word>) -> Option<Range<usize>> {
    word.as_ref().map(Spanned::span)
}

fn of_csv(target: &TargetSpec) -> Keys {
    vec![
        ("delimiter", span(&target.delimiter)),
        ("header", target.header.as_ref().map(Spanned::span)),
        ("null", span(&target.null)),
    ]
}

/// Refuses what means nothing where the target is a database.
pub(super) fn refuse_keys(job: &JobFile) -> Result<(), Problem> {
    let target = &job.spec().target;
    let mut keys = of_csv(target);
    keys.extend([
        ("format", span(&target.format)),
        ("compression", span(&target.compression)),
        ("required", target.required.as_ref().map(Spanned::span)),
        ("existing", span(&target.existing)),
        ("ledger", span(&target.ledger)),
    ]);
    match keys.into_iter().find_map(|(key, span)| Some((key, span?))) {
        None => Ok(()),
        Some((key, span)) => {
            let fault =
                Fault::config(format!("`{key}` means nothing where the target is a database"));
            Err(job.problem(span, fault.with_hint("leave it out")))
        }
    }
}

/// The database that keeps the book of a folder.
struct LedgerBook {
    database: Arc<dyn Database>,
    /// The folder that is made with the target's, where the ledger lies there.
    beside: Option<PathBuf>,
}

#[async_trait]
impl Book for LedgerBook {
    fn sink(&self) -> Arc<dyn Sink> {
        self.database.sink()
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.database.ledger()
    }

    async fn open(&self, spec: &TableSpec) -> Outcome<Box<dyn Source>> {
        self.database.source(spec).await
    }

    async fn check(&self) -> Vec<Check> {
        if self.beside.as_ref().is_some_and(|folder| !folder.exists()) {
            let what = format!("ledger {}", self.database.url());
            return vec![Check::note(what, "it will be created")];
        }
        check_book(self.sink().as_ref()).await
    }
}

/// Files, as what a job is built upon: they take units; the database beside them
/// does the rest.
struct FileTarget {
    /// Where it is one of this machine.
    folder: Option<PathBuf>,
    sink: Arc<FileSink>,
    ledger: Arc<dyn Database>,
}

#[async_trait]
impl Database for FileTarget {
    /// That of the ledger.
    fn url(&self) -> &str {
        self.ledger.url()
    }

    async fn set_up(&self) -> Outcome<()> {
        if let Some(folder) = &self.folder {
            FileSink::make(folder)?;
        }
        self.ledger.set_up().await
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.ledger.ledger()
    }

    fn catalog(&self, spec: CatalogSpec) -> Arc<dyn Catalog> {
        Arc::new(NoCatalog(spec))
    }

    async fn source(&self, spec: &TableSpec) -> Outcome<Box<dyn Source>> {
        Err(Fault::config(format!(
            "table {}: the target is files, which have no tables",
            spec.table
        ))
        .with_hint("name the database that has it: url = \"…\""))
    }
}

/// A table to look rows up in, which files are not.
struct NoCatalog(CatalogSpec);

impl NoCatalog {
    fn fault<T>(&self) -> Outcome<T> {
        let what = format!("no row of {} can be looked up: the target is files", self.0.table);
        Err(Fault::config(what).with_hint("rows are found and created in databases only"))
    }
}

#[async_trait]
impl Catalog for NoCatalog {
    async fn key_is_integer(&self) -> Outcome<bool> {
        self.fault()
    }

    async fn size(&self) -> Outcome<CatalogSize> {
        self.fault()
    }

    async fn load(&self) -> Outcome<Vec<(Key, Vec<Option<String>>)>> {
        self.fault()
    }

    async fn find_or_create(&self, _: &RecordBatch) -> Outcome<Vec<Outcome<Key>>> {
        self.fault()
    }
}
