//! `[chunk]` and `[limits]`: how a job runs.

use std::time::Duration;

use kiln::Options;
use kiln_core::{ChunkLimits, FailureLimit, Fault, RetryPolicy};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::load::not_there_yet;
use crate::problem::Problem;
use crate::shapes::Amount;
use crate::spec::{ChunkSpec, LimitsSpec, StepSpec};
use crate::target;

/// The smallest sample for a percentage, if nothing else is said.
const SAMPLE: u64 = 1_000;

/// A chunk becomes a file of each table, where the target is files: small ones
/// are a burden to whoever reads them.
const OF_FILES: ChunkLimits = ChunkLimits { items: 100_000, bytes: 64 << 20, age: Duration::ZERO };

/// How a step runs, as the job file says.
pub(crate) fn options(job: &JobFile, step: &StepSpec) -> Result<Options, Problem> {
    Ok(Options {
        lanes: match &step.limits.lanes {
            Some(lanes) => at_least_one(job, lanes, "without a lane nothing is written")?,
            None => Options::default().lanes,
        },
        chunk: chunk(job, &step.chunk)?,
        limit: failure_limit(job, &step.limits)?,
        retry: retry(job, &step.limits)?,
        ..Options::default()
    })
}

fn chunk(job: &JobFile, spec: &ChunkSpec) -> Result<ChunkLimits, Problem> {
    let mut limits = if target::is_files(job) { OF_FILES } else { ChunkLimits::default() };
    if let Some(items) = &spec.items {
        limits.items = match items.get_ref() {
            Amount::Text(auto) if auto == "auto" => {
                let hint = "leave it out for the default, or name a number";
                return Err(not_there_yet(job.text(), items.span(), "items = \"auto\"", hint));
            }
            _ => usize_of(job, whole(job, items)?, items.span())?,
        };
    }
    if let Some(bytes) = &spec.bytes {
        limits.bytes = usize_of(job, job.count(bytes)?, bytes.span())?;
    }
    if let Some(seconds) = &spec.seconds {
        limits.age = Duration::try_from_secs_f64(*seconds.get_ref()).map_err(|_| {
            job.problem(seconds.span(), Fault::config("it is no number of seconds"))
        })?;
    }
    if limits == (ChunkLimits { items: 0, bytes: 0, age: Duration::ZERO }) {
        let span = spec.items.as_ref().map_or(0..0, Spanned::span);
        let fault = Fault::config("a chunk without any limit would hold the whole input");
        return Err(job.problem(span, fault.with_hint("leave one limit above zero")));
    }
    Ok(limits)
}

fn failure_limit(job: &JobFile, spec: &LimitsSpec) -> Result<FailureLimit, Problem> {
    let after = spec.after.as_ref().map_or(Ok(SAMPLE), |n| job.count(n))?;
    let Some(failed) = &spec.failed else {
        return match &spec.after {
            None => Ok(FailureLimit::None),
            Some(after) => Err(job.problem(
                after.span(),
                Fault::config("`after` is the sample for a percentage, but there is none")
                    .with_hint("add failed = \"5%\""),
            )),
        };
    };
    if let Amount::Text(text) = failed.get_ref()
        && let Some(percent) = text.trim().strip_suffix('%')
    {
        return match percent.trim().parse::<f64>() {
            Ok(p) if (0.0..=100.0).contains(&p) => {
                Ok(FailureLimit::Ratio { ratio: p / 100.0, after })
            }
            _ => Err(no_amount(job, failed)),
        };
    }
    whole(job, failed).map(FailureLimit::Count)
}

fn retry(job: &JobFile, spec: &LimitsSpec) -> Result<RetryPolicy, Problem> {
    let mut policy = RetryPolicy::default();
    if let Some(retries) = &spec.retries {
        policy.retries = u32::try_from(job.count(retries)?)
            .map_err(|_| job.problem(retries.span(), Fault::config("it is too large a number")))?;
    }
    Ok(policy)
}

/// How the run as a whole goes, as the job file says.
pub(crate) fn of_run(job: &JobFile) -> Result<Options, Problem> {
    let mut options = Options::default();
    if let Some(steps) = &job.spec().at_once {
        options.steps = at_least_one(job, steps, "without a step at work nothing is done")?;
    }
    Ok(options)
}

/// How many of something may work side by side; any number that is too large is
/// as good as the largest.
fn at_least_one(job: &JobFile, many: &Spanned<Amount>, why: &str) -> Result<u32, Problem> {
    match whole(job, many)? {
        0 => {
            let fault = Fault::config(why).with_hint("write 1 or more, or leave it out");
            Err(job.problem(many.span(), fault))
        }
        n => Ok(u32::try_from(n).unwrap_or(u32::MAX)),
    }
}

/// A whole number, also where a parameter has made it a text.
pub(crate) fn whole(job: &JobFile, amount: &Spanned<Amount>) -> Result<u64, Problem> {
    let number = match amount.get_ref() {
        Amount::Number(n) => u64::try_from(*n).ok(),
        Amount::Text(text) => text.trim().replace('_', "").parse().ok(),
    };
    number.ok_or_else(|| no_amount(job, amount))
}

fn no_amount(job: &JobFile, amount: &Spanned<Amount>) -> Problem {
    let written = job.text().slice(&amount.span());
    let fault = Fault::config(format!("{written} is no such number"))
        .with_hint("write a whole number such as 100; for failed also a share such as \"5%\"");
    job.problem(amount.span(), fault)
}

fn usize_of(job: &JobFile, n: u64, span: std::ops::Range<usize>) -> Result<usize, Problem> {
    usize::try_from(n).map_err(|_| job.problem(span, Fault::config("it is too large a number")))
}
