//! What `validate` says: the way to a runnable job, step by step.

use kiln_core::Check;

use crate::problem::Problem;

/// One line of what `validate` says.
#[derive(Debug)]
pub struct Checked {
    /// What was looked at.
    pub what: String,
    /// What was found: a remark, or what is wrong.
    pub result: Result<Option<String>, Problem>,
}

impl From<Check> for Checked {
    fn from(check: Check) -> Self {
        Self { what: check.what, result: check.result.map_err(Problem::from) }
    }
}

/// What is said of a check that passed.
fn passed(line: &Checked) -> Option<&Option<String>> {
    line.result.as_ref().ok()
}

/// The lines so far.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Checked>);

impl Checks {
    /// Adds what came of a step; gives it on if it went well.
    pub(crate) fn add<T>(
        &mut self,
        what: impl Into<String>,
        result: Result<T, Problem>,
        note: impl FnOnce(&T) -> Option<String>,
    ) -> Option<T> {
        let (line, value) = match result {
            Ok(value) => (Ok(note(&value)), Some(value)),
            Err(problem) => (Err(problem), None),
        };
        self.0.push(Checked { what: what.into(), result: line });
        value
    }

    pub(crate) fn pass(&mut self, what: impl Into<String>, note: Option<String>) {
        self.0.push(Checked { what: what.into(), result: Ok(note) });
    }

    /// Adds those of these that failed.
    pub(crate) fn extend_failed(&mut self, others: Self) {
        self.0.extend(others.0.into_iter().filter(|line| line.result.is_err()));
    }

    /// Adds what a database says. It says some things for each step; those that
    /// passed before, in the same words, are not said again.
    pub(crate) fn extend(&mut self, checks: Vec<Check>) {
        let told = |line: &Checked| {
            let same = |l: &Checked| l.what == line.what && passed(l) == passed(line);
            passed(line).is_some() && self.0.iter().any(same)
        };
        let new: Vec<Checked> =
            checks.into_iter().map(Checked::from).filter(|line| !told(line)).collect();
        self.0.extend(new);
    }

    /// The lines, in order.
    pub(crate) fn into_lines(self) -> Vec<Checked> {
        self.0
    }

    /// The first thing that is wrong.
    pub(crate) fn into_problem(self) -> Option<Problem> {
        self.0.into_iter().find_map(|line| line.result.err())
    }
}
