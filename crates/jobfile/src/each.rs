//! `[step.each]`: a step for each of several files, values or stretches of a
//! table.
//!
//! ```text
//! first reading ──▶ what each step is for ──▶ second reading: one step for each
//!                   files, values, keys; or as the open run has it
//! ```
//!
//! A step that is one of many is called `load[in/may.csv]`. So the names of a run's
//! steps, which it keeps, tell what they are for, and a run that is resumed has the
//! same ones, whatever files came since.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kiln::step_names;
use kiln_core::{Cell, CellColumn, ChunkLimits, Fault, TableSpec};
use kiln_databases::{Database, connect};
use kiln_files::{ColumnType, Ready};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::limits::whole;
use crate::literal::Kind;
use crate::mapping::table;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::{EachSpec, StepSpec};

/// The most steps that one may become: each opens its source before the first
/// begins.
const MOST: usize = 500;

/// How many keys a step is for, if nothing else is said.
const SIZE: u64 = 1_000_000;

/// The longest name of a step that every ledger takes.
const LONGEST: usize = 200;

/// What stands for the ends of a stretch.
const FROM: &str = "each.from";
const TO: &str = "each.to";

/// What the steps of a job are for, by the name that they share.
pub(crate) type Fans = BTreeMap<String, Vec<Each>>;

/// What one of many steps is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Each {
    /// As people see it, and what `${each}` stands for.
    pub(crate) label: String,
    /// What `${each.from}` and `${each.to}` stand for, where it is a stretch.
    pub(crate) keys: Option<(i64, i64)>,
}

impl Each {
    fn value(text: &str) -> Self {
        Self { label: text.to_owned(), keys: None }
    }

    fn keys(from: i64, to: i64) -> Self {
        Self { label: format!("{from}..{to}"), keys: Some((from, to)) }
    }

    /// What stands for each thing before it is known which there are.
    pub(crate) fn unknown() -> Self {
        Self { label: "${each}".to_owned(), keys: Some((0, 0)) }
    }

    /// The parameters of a job, and what this one is for.
    pub(crate) fn among(&self, parameters: &Parameters) -> Parameters {
        let (text, number) = (Kind::Of(ColumnType::Text), Kind::Of(ColumnType::Int));
        let parameters = parameters.clone().with("each", text, self.label.clone());
        match self.keys {
            None => parameters,
            Some((from, to)) => {
                parameters.with(FROM, number, from.to_string()).with(TO, number, to.to_string())
            }
        }
    }

    /// What a label was made of.
    fn of(label: &str, is_stretch: bool) -> Option<Self> {
        if !is_stretch {
            return Some(Self::value(label));
        }
        let (from, to) = label.split_once("..")?;
        Some(Self::keys(from.parse().ok()?, to.parse().ok()?))
    }
}

/// The name that a step shares with others, if it is one of many.
pub(crate) fn fan_of(step: &str) -> Option<&str> {
    step.strip_suffix(']')?.split_once('[').map(|(fan, _)| fan)
}

/// What the steps are for: as the open run of the job has it, else as it is now.
pub(crate) async fn fans(
    job: &JobFile,
    database: &Arc<dyn Database>,
    goes_on: bool,
) -> Result<Fans, Problem> {
    let recorded = match job.redriven() {
        Some(redrive) => redrive.steps.clone(),
        None if goes_on => recorded(job, database).await?,
        None => Vec::new(),
    };
    let mut fans = Fans::new();
    for step in &job.spec().steps {
        let Some(each) = &step.each else { continue };
        let name = step.name.get_ref();
        let known = known(&recorded, name, each.get_ref().table.is_some());
        let all = match known {
            Some(known) => known,
            None if job.redriven().is_some() => Vec::new(),
            None => fan(job, step, each, database).await?,
        };
        fans.insert(name.clone(), all);
    }
    Ok(fans)
}

/// The names of the steps of the newest run, if it is open.
async fn recorded(job: &JobFile, database: &Arc<dyn Database>) -> Result<Vec<String>, Problem> {
    let newest = database.ledger().newest(job.name(), &job.parameters()).await?;
    match newest.filter(|run| run.state.is_open()) {
        Some(run) => Ok(step_names(&run)?),
        None => Ok(Vec::new()),
    }
}

/// What the steps of this name were for in a run; none if it had none of it.
fn known(names: &[String], step: &str, is_stretch: bool) -> Option<Vec<Each>> {
    let label = |name: &String| {
        let label = name.strip_prefix(step)?.strip_prefix('[')?.strip_suffix(']')?;
        Each::of(label, is_stretch)
    };
    let known: Vec<Each> = names.iter().filter_map(label).collect();
    (!known.is_empty()).then_some(known)
}

async fn fan(
    job: &JobFile,
    step: &StepSpec,
    each: &Spanned<EachSpec>,
    database: &Arc<dyn Database>,
) -> Result<Vec<Each>, Problem> {
    let spec = each.get_ref();
    let all = match (&spec.file, &spec.values, &spec.table) {
        (Some(files), None, None) => files_of(job, &files.get_ref().words(files.span()))?,
        (None, Some(values), None) => {
            values.get_ref().iter().map(|value| Each::value(value.get_ref())).collect()
        }
        (None, None, Some(table)) => stretches(job, spec, table, database).await?,
        _ => {
            let fault = Fault::config("a step is for each of some files, some values or a table");
            let hint =
                "write one of file = \"in/*.csv\", values = [\"a\", \"b\"] and table = \"…\"";
            return Err(job.problem(each.span(), fault.with_hint(hint)));
        }
    };
    refuse_misfits(&all, step.name.get_ref()).map_err(|fault| job.problem(each.span(), fault))?;
    Ok(all)
}

/// Looks whether there is a step, whether they are not too many, and whether each
/// can have a name.
fn refuse_misfits(all: &[Each], step: &str) -> Result<(), Fault> {
    if all.is_empty() {
        return Err(Fault::config("there is nothing to make a step for"));
    }
    if all.len() > MOST {
        return Err(Fault::config(format!("{} steps are too many; the most is {MOST}", all.len()))
            .with_hint("one step reads many files as one source: file = \"in/*.csv\""));
    }
    let mut seen = HashSet::new();
    for Each { label, .. } in all {
        let is_bad = |c: char| c.is_control() || "[]".contains(c);
        let fault = if label.is_empty() || label.contains(is_bad) || label.contains(": ") {
            format!("no step can be named after {label:?}")
        } else if step.len() + label.len() + 2 > LONGEST {
            format!("the name of a step for {label:?} would be longer than {LONGEST} bytes")
        } else if !seen.insert(label.to_lowercase()) {
            format!("two steps would be called {step}[{label}]")
        } else {
            continue;
        };
        return Err(Fault::config(fault));
    }
    Ok(())
}

/// Paths are named as the job file could write them: those in its folder by the
/// way from there.
fn files_of(job: &JobFile, files: &[Word]) -> Result<Vec<Each>, Problem> {
    let mut all: Vec<Each> = Vec::new();
    for file in files {
        let found = job.find(file, &Ready::Always)?;
        if found.files.is_empty() {
            return Err(job.problem(file.span(), found.nothing(file.get_ref(), &Ready::Always)));
        }
        for path in found.files {
            let path = path.strip_prefix(job.folder()).unwrap_or(&path);
            let each = Each::value(&path.to_string_lossy());
            if !all.contains(&each) {
                all.push(each);
            }
        }
    }
    Ok(all)
}

/// Stretches of so many keys; the last one holds the rest.
async fn stretches(
    job: &JobFile,
    spec: &EachSpec,
    name: &Word,
    target: &Arc<dyn Database>,
) -> Result<Vec<Each>, Problem> {
    let Some(key) = &spec.key else {
        let fault = Fault::config("the key of the table is missing")
            .with_hint("name a column of whole numbers, unique and never NULL: key = \"id\"");
        return Err(job.problem(name.span(), fault));
    };
    let size = match &spec.size {
        None => SIZE,
        Some(size) => match whole(job, size)? {
            0 => return Err(job.problem(size.span(), Fault::config("it must be at least 1"))),
            size => size,
        },
    };
    let keys = vec![key.get_ref().clone()];
    let table = TableSpec { columns: keys.clone(), key: keys, ..TableSpec::new(table(job, name)?) };
    let named;
    let database = match &spec.url {
        None => target,
        Some(url) => {
            let resolved = job.resolved_url(url)?;
            named = connect(&resolved, None).await.map_err(|f| job.problem(url.span(), f))?;
            &named
        }
    };
    let mut source = database.source(&table).await.map_err(|fault| {
        let place = if fault.column().is_some() { key } else { name };
        job.problem(place.span(), fault)
    })?;
    let mut cut = Cut { size, all: Vec::new(), from: None, last: 0, many: 0 };
    while let Some(chunk) = source.next(&ChunkLimits::default()).await? {
        let column = chunk.items.batch.columns().first();
        let column = column.ok_or_else(|| Fault::bug("keys without a column"))?;
        let cells = CellColumn::new(column.as_ref())?;
        for row in 0..chunk.items.len() {
            let Cell::Int(number) = cells.cell(row) else {
                let fault = Fault::config(format!("{} is no whole number", key.get_ref()))
                    .with_hint("a table is cut by a key of whole numbers");
                return Err(job.problem(key.span(), fault));
            };
            cut.add(number);
        }
        if cut.all.len() > MOST {
            let fault = Fault::config(format!("the table is cut into more than {MOST} stretches"))
                .with_hint("make them larger: size = …");
            return Err(job.problem(name.span(), fault));
        }
    }
    Ok(cut.end())
}

/// Cuts keys, which rise, into stretches.
struct Cut {
    size: u64,
    all: Vec<Each>,
    /// The key before the stretch at hand.
    from: Option<i64>,
    last: i64,
    /// How many keys the stretch at hand has.
    many: u64,
}

impl Cut {
    fn add(&mut self, key: i64) {
        let from = *self.from.get_or_insert(key.saturating_sub(1));
        (self.last, self.many) = (key, self.many + 1);
        if self.many == self.size {
            self.all.push(Each::keys(from, key));
            (self.from, self.many) = (Some(key), 0);
        }
    }

    /// All of them; for no keys at all one that is empty.
    fn end(mut self) -> Vec<Each> {
        if self.many > 0 || self.all.is_empty() {
            self.all.push(Each::keys(self.from.unwrap_or(0), self.last));
        }
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(all: &[Each]) -> Vec<&str> {
        all.iter().map(|each| each.label.as_str()).collect()
    }

    #[test]
    fn keys_are_cut_without_gap_or_overlap() {
        let cut = |keys: &[i64], size| {
            let mut cut = Cut { size, all: Vec::new(), from: None, last: 0, many: 0 };
            keys.iter().for_each(|key| cut.add(*key));
            cut.end()
        };
        assert_eq!(labels(&cut(&[-5, 1, 7, 8, 20], 2)), ["-6..1", "1..8", "8..20"]);
        assert_eq!(labels(&cut(&[3, 4], 2)), ["2..4"]);
        assert_eq!(labels(&cut(&[3], 9)), ["2..3"]);
        assert_eq!(labels(&cut(&[], 9)), ["0..0"]);
        for each in cut(&[-5, 1, 7, 8, 20], 2) {
            assert_eq!(Each::of(&each.label, true), Some(each));
        }
    }

    #[test]
    fn names_of_a_run_tell_what_its_steps_were_for() {
        let names = ["load[a.csv]", "load[b [1].csv]", "loads[x]", "load", "cut[-6..1]"];
        let names = names.map(str::to_owned);
        assert_eq!(labels(&known(&names, "load", false).unwrap()), ["a.csv", "b [1].csv"]);
        assert_eq!(known(&names, "cut", true), Some(vec![Each::keys(-6, 1)]));
        assert_eq!(known(&names, "other", false), None);
    }

    #[test]
    fn what_can_be_no_name_is_refused() {
        let wrong = |labels: &[&str]| {
            let all: Vec<Each> = labels.iter().map(|label| Each::value(label)).collect();
            refuse_misfits(&all, "s").err().map(|fault| fault.message().to_owned())
        };
        assert_eq!(wrong(&["a", "in/b c.csv"]), None);
        assert!(wrong(&[]).unwrap().contains("nothing"));
        assert!(wrong(&["a", "A"]).unwrap().contains("two steps"));
        for label in ["", "a\nb", "a: b", "a[1]", &"x".repeat(300)] {
            assert!(wrong(&[label]).is_some(), "{label}");
        }
        let many: Vec<String> = (0..=MOST).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(wrong(&many).unwrap().contains("too many"));
    }
}
