//! The first items after mapping, and what would be written.

use arrow_array::RecordBatch;
use kiln::Chain;
use kiln_core::{
    Cell, CellColumn, ChunkLimits, Fault, Items, Mapper, Mode, Run, RunId, Source, Write,
};

use crate::build::{Purpose, StepParts, Work};
use crate::each::fan_of;
use crate::jobfile::JobFile;
use crate::kind::statement_of;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::spec::{ExecSpec, StepSpec};

/// What stands for the key of a row that the run would create.
const NEW: &str = "(new)";

/// What the first items of a step become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The step's name; none if it is the job's only one.
    pub step: Option<String>,
    /// What it runs, if it reads no items.
    pub runs: Option<String>,
    /// Why nothing could be read, where the steps that it needs may have to run
    /// first.
    pub unread: Option<String>,
    /// One table for each write, in order.
    pub tables: Vec<PreviewTable>,
    /// Items that would be dead letters, in order.
    pub failed: Vec<PreviewFailure>,
    /// Rules that items break which would be written all the same, in order.
    pub warned: Vec<PreviewWarning>,
    /// How many items were read for it.
    pub read: u64,
    /// How many of them are dropped on purpose.
    pub filtered: usize,
}

/// What would be written to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewTable {
    /// The table.
    pub table: String,
    /// How it is written to.
    pub mode: Mode,
    /// The columns that are written.
    pub columns: Vec<String>,
    /// The rows, a text for each column; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// An item that would be a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewFailure {
    /// The file.
    pub source: String,
    /// The line on which the item starts, counted from 1.
    pub line: Option<u64>,
    /// The stage that refuses it.
    pub stage: kiln_core::Stage,
    /// Why.
    pub reason: String,
}

/// A rule that an item breaks which goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewWarning {
    /// The file.
    pub source: String,
    /// The line on which the item starts, counted from 1.
    pub line: Option<u64>,
    /// The rule's name.
    pub rule: String,
}

impl JobFile {
    /// Reads and maps in each step, or only in the one of this name, until
    /// `most` items have come through, and writes nothing.
    ///
    /// # Errors
    /// As [`build`](Self::build), what keeps a source from being read, and a
    /// name that no step has.
    pub async fn preview(&self, most: usize, step: Option<&str>) -> Result<Vec<Preview>, Problem> {
        let fanned = self.fanned_out().await?;
        fanned.as_ref().unwrap_or(self).preview_steps(most, step).await
    }

    async fn preview_steps(
        &self,
        most: usize,
        step: Option<&str>,
    ) -> Result<Vec<Preview>, Problem> {
        let steps = &self.spec().steps;
        // The name that many share means all of them.
        let is = |of: &str, name: &str| of == name || fan_of(of) == Some(name);
        let is_meant = |spec: &StepSpec| step.is_none_or(|name| is(spec.name.get_ref(), name));
        if let Some(name) = step.filter(|_| !steps.iter().any(is_meant)) {
            return Err(self.no_step(name));
        }
        let parts = self.parts(Purpose::Look).await?;
        let mut previews = Vec::new();
        for (spec, parts) in steps.iter().zip(parts.steps).filter(|(spec, _)| is_meant(spec)) {
            let mut preview = match first_items(spec, parts, most).await {
                Err(problem) if !spec.needs.is_empty() => {
                    Preview { unread: Some(problem.fault().message().to_owned()), ..empty(&[]) }
                }
                preview => preview?,
            };
            preview.step = (steps.len() > 1).then(|| spec.name.get_ref().clone());
            previews.push(preview);
        }
        Ok(previews)
    }

    /// A command that names a step which the job does not have.
    fn no_step(&self, name: &str) -> Problem {
        let known: Vec<&str> =
            self.spec().steps.iter().map(|s| s.name.get_ref().as_str()).collect();
        let hint = suggestion("its steps", name, &known);
        Problem::usage(Fault::config(format!("the job has no step {name}")).with_hint(hint))
    }
}

async fn first_items(spec: &StepSpec, parts: StepParts, most: usize) -> Result<Preview, Problem> {
    let (mut source, mappers, writes) = match parts.work {
        Work::Items { source, mappers, writes } => (source, mappers, writes),
        Work::Runs(_) => return Ok(Preview { runs: Some(what_runs(spec)), ..empty(&[]) }),
    };
    let mut chain = Chain::new(source.schema());
    mappers.into_iter().for_each(|mapper| chain.push(mapper));
    chain.begin(&Run { id: RunId("preview".to_owned()), began: None });
    let creates = spec.matches.iter().filter(|m| m.create.is_some());
    let created: Vec<&str> = creates.map(|m| m.column.get_ref().as_str()).collect();
    let mut preview = empty(&writes);
    let mut given = 0;
    while given < most {
        let Some(items) = preview.next(source.as_mut(), &mut chain, most - given).await? else {
            break;
        };
        given += items.ordinals.chunk_by(|a, b| a == b).count();
        for (table, write) in preview.tables.iter_mut().zip(&writes) {
            let own = items.of_stream(write.stream.as_deref())?;
            table.rows.extend(rows(&own.batch, write, &created)?);
        }
    }
    Ok(preview)
}

/// The statement, or the words of the command.
fn what_runs(spec: &StepSpec) -> String {
    let words = |exec: &ExecSpec| -> Vec<String> {
        exec.command.get_ref().iter().map(|word| word.get_ref().clone()).collect()
    };
    let command = || spec.exec.as_ref().map(|exec| words(exec.get_ref()).join(" "));
    let statement = spec.sql.as_ref().map(|sql| statement_of(sql).into_inner());
    statement.or_else(command).unwrap_or_default()
}

fn empty(writes: &[Write]) -> Preview {
    let table = |write: &Write| PreviewTable {
        table: write.table.to_string(),
        mode: write.mode,
        columns: write.columns.iter().map(|c| c.column.clone()).collect(),
        rows: Vec::new(),
    };
    let tables = writes.iter().map(table).collect();
    Preview {
        step: None,
        runs: None,
        unread: None,
        tables,
        failed: Vec::new(),
        warned: Vec::new(),
        read: 0,
        filtered: 0,
    }
}

impl Preview {
    /// The items of the next chunk, at most `most`; nothing behind the last of
    /// them is counted.
    async fn next(
        &mut self,
        source: &mut dyn Source,
        chain: &mut Chain,
        most: usize,
    ) -> Result<Option<Items>, Fault> {
        let limits = ChunkLimits { items: most.max(1_000), ..ChunkLimits::default() };
        let Some(chunk) = source.next(&limits).await? else { return Ok(None) };
        let origins = chunk.items.origins.clone();
        let mut mapped = chain.map(chunk.items).await?;
        let mut last = chunk.end.ordinal;
        let rows: Vec<usize> =
            mapped.items.ordinals.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
        if rows.len() > most {
            mapped.items = mapped.items.slice(0, rows[..most].iter().sum());
            last = mapped.items.ordinals.last().copied().unwrap_or(last);
        }
        self.read = last;
        self.filtered += mapped.filtered.iter().filter(|o| **o <= last).count();
        let mut failures = chunk.failures;
        failures.extend(mapped.failures);
        failures.retain(|f| f.ordinal <= last);
        failures.sort_by_key(|f| f.ordinal);
        self.failed.extend(failures.into_iter().map(|failure| PreviewFailure {
            source: origins.source(failure.ordinal).to_owned(),
            line: origins.line(failure.ordinal),
            stage: failure.stage,
            reason: failure.fault.message().to_owned(),
        }));
        let warnings = mapped.warnings.into_iter().filter(|w| {
            w.ordinal <= last && mapped.items.ordinals.binary_search(&w.ordinal).is_ok()
        });
        self.warned.extend(warnings.map(|warning| PreviewWarning {
            source: origins.source(warning.ordinal).to_owned(),
            line: origins.line(warning.ordinal),
            rule: warning.rule.to_string(),
        }));
        Ok(Some(mapped.items))
    }
}

/// The rows of a write, as texts.
fn rows(
    items: &RecordBatch,
    write: &Write,
    created: &[&str],
) -> Result<Vec<Vec<Option<String>>>, Fault> {
    let column = |from: &str| {
        let array = items
            .column_by_name(from)
            .ok_or_else(|| Fault::bug(format!("the item has no column {from}")))?;
        CellColumn::new(array.as_ref())
    };
    let columns: Vec<(CellColumn<'_>, bool)> = write
        .columns
        .iter()
        .map(|c| Ok((column(&c.from)?, created.contains(&c.from.as_str()))))
        .collect::<Result<_, Fault>>()?;
    let text = |(column, is_key): &(CellColumn<'_>, bool), row| match column.cell(row) {
        Cell::Null => is_key.then(|| NEW.to_owned()),
        cell => Some(cell.to_string()),
    };
    Ok((0..items.num_rows()).map(|row| columns.iter().map(|c| text(c, row)).collect()).collect())
}
