//! `[[step]]`: the steps of a job file, or the one that it is.

use std::ops::Range;

use kiln::{Condition, Disorder, decided, in_order};
use kiln_core::Fault;
use toml::Spanned;
use toml::de::DeTable;

use crate::nearest::{nearest, suggestion};
use crate::problem::{Problem, Text};
use crate::spec::{ChunkSpec, FileSpec, LimitsSpec, Spec, StepSpec};

/// The name of the step of a job file without `[[step]]`.
pub(crate) const MAIN: &str = "main";

/// What belongs into a step, where there are steps.
const OF_A_STEP: [&str; 6] = ["source", "map", "explode", "require", "match", "write"];

/// Refuses a job file that has steps and is one as well.
pub(crate) fn refuse_both(table: &DeTable<'_>, text: &Text) -> Result<(), Problem> {
    if table.get("step").is_none() {
        return Ok(());
    }
    let Some((name, value)) = OF_A_STEP.iter().find_map(|n| Some((n, table.get(*n)?))) else {
        return Ok(());
    };
    let fault = Fault::config(format!("`{name}` stands beside [[step]]"))
        .with_hint(format!("move it into its step, as [step.{name}]"));
    Err(text.problem(value.span(), fault))
}

/// The job that a file means.
pub(crate) fn spec(file: FileSpec, text: &Text) -> Result<Spec, Problem> {
    let FileSpec {
        name,
        source,
        map,
        explode,
        require,
        matches,
        target,
        write,
        chunk,
        limits,
        step,
    } = file;
    let at_once = limits.steps.clone();
    if !step.is_empty() {
        let mut steps = in_their_order(step, text)?;
        for step in &mut steps {
            refuse_steps_in_a_step(step, text)?;
            step.chunk.inherit(&chunk);
            step.limits.inherit(&limits);
        }
        return Ok(Spec { name, target, steps, at_once });
    }
    let Some(source) = source else {
        let fault = Fault::config("the key `source` is missing")
            .with_hint("say what the job reads: [source]; or give it steps: [[step]]");
        return Err(text.problem(name.span(), fault).label("of this job"));
    };
    let only = StepSpec {
        name: Spanned::new(name.span(), MAIN.to_owned()),
        needs: Vec::new(),
        when: None,
        each: None,
        source: Some(source),
        sql: None,
        exec: None,
        map,
        explode,
        require,
        matches,
        write,
        chunk,
        limits,
    };
    Ok(Spec { name, target, steps: vec![only], at_once })
}

fn refuse_steps_in_a_step(step: &StepSpec, text: &Text) -> Result<(), Problem> {
    let Some(steps) = &step.limits.steps else { return Ok(()) };
    let fault = Fault::config("how many steps run side by side is not for one of them to say")
        .with_hint("move it to the job's own [limits]");
    Err(text.problem(steps.span(), fault))
}

fn in_their_order(steps: Vec<StepSpec>, text: &Text) -> Result<Vec<StepSpec>, Problem> {
    let names: Vec<(&str, Vec<&str>)> = steps.iter().map(name_and_needs).collect();
    let order = match in_order(&names) {
        Ok(order) => order,
        Err(disorder) => return Err(problem(&disorder, &steps, &names, text)),
    };
    let conditions =
        steps.iter().map(|step| condition(step, text)).collect::<Result<Vec<_>, _>>()?;
    decided(&names, conditions.iter().map(Option::as_ref))
        .map_err(|disorder| problem(&disorder, &steps, &names, text))?;
    let mut steps: Vec<(usize, StepSpec)> = steps.into_iter().enumerate().collect();
    steps.sort_by_key(|(place, _)| order.iter().position(|at| at == place));
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// When a step is done, if it says.
fn condition(step: &StepSpec, text: &Text) -> Result<Option<Condition>, Problem> {
    let Some(when) = &step.when else { return Ok(None) };
    Condition::parse(when.get_ref()).map(Some).map_err(|fault| text.problem(when.span(), fault))
}

fn name_and_needs(step: &StepSpec) -> (&str, Vec<&str>) {
    (step.name.get_ref(), step.needs.iter().map(|need| need.get_ref().as_str()).collect())
}

/// What keeps the steps from having an order, where it is written.
fn problem(
    disorder: &Disorder,
    steps: &[StepSpec],
    names: &[(&str, Vec<&str>)],
    text: &Text,
) -> Problem {
    let fault = disorder.fault(names);
    match disorder {
        Disorder::Name { step } | Disorder::Twice { step } => {
            text.problem(steps[*step].name.span(), fault)
        }
        Disorder::Unknown { step, need } => {
            let need = &steps[*step].needs[*need];
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            let hint = suggestion("steps", need.get_ref(), &known);
            text.problem(need.span(), fault.with_hint(hint))
        }
        Disorder::Undecided { step, name } => {
            let (_, needs) = &names[*step];
            let hint = match suggestion("it needs", name, needs) {
                near if nearest(name, needs.iter().copied()).is_some() => near,
                _ => format!("add it: needs = [\"{name}\"]"),
            };
            text.problem(place_of_when(&steps[*step]), fault.with_hint(hint))
        }
        Disorder::Unneeding { step } => text.problem(place_of_when(&steps[*step]), fault),
        Disorder::Circle { steps: circle } => {
            let next = circle.get(1).or(circle.first()).map_or("", |step| names[*step].0);
            let needs = circle.first().into_iter().flat_map(|step| &steps[*step].needs);
            let span = needs.into_iter().find(|need| need.get_ref() == next).map(Spanned::span);
            text.problem(span.unwrap_or_default(), fault)
        }
    }
}

fn place_of_when(step: &StepSpec) -> Range<usize> {
    step.when.as_ref().unwrap_or(&step.name).span()
}

impl ChunkSpec {
    /// Takes from the job what the step leaves out.
    fn inherit(&mut self, job: &Self) {
        let Self { items, bytes, seconds } = job.clone();
        self.items = self.items.take().or(items);
        self.bytes = self.bytes.take().or(bytes);
        self.seconds = self.seconds.take().or(seconds);
    }
}

impl LimitsSpec {
    /// Takes from the job what the step leaves out.
    fn inherit(&mut self, job: &Self) {
        // How many steps run at once is the job's alone.
        let Self { failed, after, lanes, steps: _, retries, rate } = job.clone();
        self.failed = self.failed.take().or(failed);
        self.after = self.after.take().or(after);
        self.lanes = self.lanes.take().or(lanes);
        self.retries = self.retries.take().or(retries);
        self.rate = self.rate.take().or(rate);
    }
}
