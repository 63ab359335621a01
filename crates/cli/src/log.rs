//! The log: events of a run as lines, for people or for machines.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use kiln_core::{DeadLetter, Event, Observer};
use kiln_jobfile::{Problem, printable};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::progress::Screen;

/// How many failed items of a start are told one by one.
const ITEMS_TOLD: u64 = 10;

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which lines of the log are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// None.
    Off,
    /// What went wrong.
    Error,
    /// And what nearly did.
    Warn,
    /// And what happened.
    Info,
    /// And what kiln thought.
    Debug,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// Starts the log on standard error. Without a level, text tells of trouble
/// only, JSON of everything that happens.
pub(crate) fn start(format: Format, level: Option<Level>, screen: &Screen) {
    let default = if format == Format::Json { Level::Info } else { Level::Warn };
    let level = level.unwrap_or(default).filter();
    let filter =
        Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("kiln", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines(screen.clone()));
    let registry = tracing_subscriber::registry().with(filter);
    // A log that runs already, in a test, is as good.
    let _ = match format {
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        Format::Text => registry.with(lines.with_ansi(false).with_target(false)).try_init(),
    };
}

/// Writes a line beside the progress bar.
#[derive(Debug, Clone)]
struct Lines(Screen);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.beside(|| io::stderr().lock().write_all(bytes)).map(|()| bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells a problem in the log, where the log is for machines.
pub(crate) fn problem(problem: &Problem, resume: Option<&str>) {
    let fault = problem.fault();
    let message = printable(fault.message());
    tracing::error!(
        hint = fault.hint(),
        code = fault.code(),
        at = problem.place(),
        resume,
        "{message}"
    );
}

/// Tells a warning about a job file.
pub(crate) fn warning(problem: &Problem) {
    let fault = problem.fault();
    tracing::warn!(hint = fault.hint(), at = problem.place(), "{}", printable(fault.message()));
}

/// Turns events into lines.
#[derive(Debug, Default)]
pub(crate) struct Log {
    failed: AtomicU64,
}

impl Log {
    fn item_failed(&self, step: &str, letter: &DeadLetter) {
        if self.failed.fetch_add(1, Ordering::Relaxed) >= ITEMS_TOLD {
            return;
        }
        tracing::info!(
            step,
            source = %printable(&letter.origin.source),
            line = letter.origin.line,
            item = letter.ordinal,
            stage = %letter.stage,
            code = letter.code,
            column = letter.column,
            "item failed: {}",
            printable(&letter.message)
        );
    }
}

impl Observer for Log {
    fn observe(&self, event: &Event) {
        match event {
            Event::RunStarted { run, job, resumed: None } => {
                tracing::info!(%run, job, "run started")
            }
            Event::RunStarted { run, job, resumed: Some(counts) } => {
                tracing::info!(%run, job, read = counts.read, "run resumed");
            }
            Event::StepStarted { step, place, of, source } => {
                tracing::info!(step = &**step, place, of, source, "step started");
            }
            Event::StepSkipped { step, condition } => {
                tracing::info!(step = &**step, condition, "step skipped");
            }
            Event::StepEnded { step, counts } => tracing::info!(
                step = &**step,
                read = counts.read,
                processed = counts.processed,
                filtered = counts.filtered,
                duplicate = counts.duplicate,
                failed = counts.failed,
                "step ended"
            ),
            Event::Committed { step, lane, span, counts, took } => tracing::debug!(
                step = &**step,
                lane,
                from = span.from,
                to = span.to,
                processed = counts.processed,
                failed = counts.failed,
                milliseconds = took.as_millis(),
                "chunk committed"
            ),
            Event::ItemFailed { step, letter } => self.item_failed(step, letter),
            Event::Isolating { step, span, fault } => tracing::info!(
                step = &**step,
                from = span.from,
                to = span.to,
                code = fault.code(),
                "looking for the items that the target refuses: {}",
                printable(fault.message())
            ),
            Event::Retry { step, attempt, pause, fault } => tracing::warn!(
                step = &**step,
                attempt,
                pause_milliseconds = pause.as_millis(),
                code = fault.code(),
                "trying again: {}",
                printable(fault.message())
            ),
            Event::Resolved { step, span, landed } => tracing::warn!(
                step = &**step,
                from = span.from,
                to = span.to,
                landed,
                "the answer to a commit was lost; the mark tells whether it landed"
            ),
            Event::CommandEnded { step, said } => {
                let said = printable(said.lines().next_back().unwrap_or_default());
                tracing::info!(step = &**step, said, "command ended");
            }
            Event::RunEnded { status, counts, .. } => {
                let told = self.failed.load(Ordering::Relaxed);
                if told > ITEMS_TOLD {
                    tracing::info!("{} more items failed", told - ITEMS_TOLD);
                }
                tracing::info!(
                    status = status.as_str(),
                    read = counts.read,
                    processed = counts.processed,
                    filtered = counts.filtered,
                    duplicate = counts.duplicate,
                    failed = counts.failed,
                    "run ended"
                );
            }
            _ => {}
        }
    }
}
