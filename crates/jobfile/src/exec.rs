//! `[step.exec]`: a command as a step.

use std::path::{Path, PathBuf};

use kiln::{Command, Step};
use kiln_core::Fault;
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::spec::{ExecSpec, StepSpec};
use crate::table::duration;

/// The step. Its program is looked for, and not run.
pub(crate) fn step(
    job: &JobFile,
    step: &StepSpec,
    exec: &Spanned<ExecSpec>,
) -> Result<Step, Problem> {
    let spec = exec.get_ref();
    let Some((program, arguments)) = spec.command.get_ref().split_first() else {
        let fault = Fault::config("the command is empty")
            .with_hint("write the program and its arguments: command = [\"gzip\", \"big.csv\"]");
        return Err(job.problem(spec.command.span(), fault));
    };
    let found = find(job.folder(), program.get_ref());
    let found = found.map_err(|fault| job.problem(program.span(), fault))?;
    let mut command = Command::new(found).folder(job.folder());
    for argument in arguments {
        command = command.argument(argument.get_ref());
    }
    for (name, value) in &spec.env {
        command = command.variable(name, value.get_ref());
    }
    if let Some(limit) = &spec.time_limit {
        let length = duration(limit.get_ref()).filter(|length| !length.is_zero());
        command = command.time_limit(length.ok_or_else(|| {
            let fault = Fault::config(format!("{:?} is no length of time", limit.get_ref()));
            job.problem(limit.span(), fault.with_hint("write it as 30s, 5m, 2h or 1d"))
        })?);
    }
    Ok(Step::command(step.name.get_ref(), command)?)
}

/// A program with a path is one of the job file's folder; one without is looked
/// for in `PATH`.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config) if it is not there.
fn find(folder: &Path, program: &str) -> Result<PathBuf, Fault> {
    let missing = |place: &str| {
        Err(Fault::config(format!("there is no program {program}{place}"))
            .with_hint("name it by its path, or put its folder into PATH"))
    };
    if program.contains('/') {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let path = folder.join(program);
        // A path that begins in a folder does not change with the command's own.
        let path = std::path::absolute(&path).unwrap_or(path);
        return if path.is_file() { Ok(path) } else { missing("") };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    match places.find(|place| place.is_file()) {
        Some(_) => Ok(PathBuf::from(program)),
        None => missing(" in PATH"),
    }
}
