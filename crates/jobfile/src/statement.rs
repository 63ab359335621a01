//! `sql`: a statement as a step, once or by the keys of a table.

use std::sync::Arc;

use kiln::{Statement, Step};
use kiln_core::{Fault, TableSpec};
use kiln_databases::Database;
use toml::Spanned;

use crate::check::Checks;
use crate::jobfile::JobFile;
use crate::kind::statement_of;
use crate::limits::whole;
use crate::mapping::table;
use crate::problem::Problem;
use crate::shapes::{TextOr, Word};
use crate::spec::{SqlSpec, StepSpec};

/// How many keys a statement is run for at a time, if nothing else is said.
const SIZE: u64 = 10_000;

/// The step, if nothing speaks against it.
pub(crate) async fn step(
    job: &JobFile,
    step: &StepSpec,
    sql: &Spanned<TextOr<SqlSpec>>,
    database: &Arc<dyn Database>,
    checks: &mut Checks,
) -> Option<Step> {
    let word = statement_of(sql);
    let built = match sql.get_ref() {
        TextOr::Table(spec) if spec.table.is_some() => {
            by_key(job, step, spec, database, checks).await?
        }
        TextOr::Table(SqlSpec { key: Some(word), .. }) => Err(no_table(job, word, "key")),
        TextOr::Table(SqlSpec { size: Some(size), .. }) => Err(no_table(job, size, "size")),
        _ => Step::statement(step.name.get_ref(), &Statement::new(word.get_ref()))
            .map_err(|fault| job.sql_problem(&word, fault)),
    };
    let built = match built {
        Ok(built) => built,
        Err(problem) => return checks.add("statement", Err(problem), |_: &Step| None),
    };
    // As the database will see it, whatever the keys are.
    let looked =
        database.sink().check_statement(&Statement::new(word.get_ref()).between(0, 0)).await;
    let is_fine = looked.iter().all(|check| check.result.is_ok());
    for check in looked {
        match check.result {
            Err(fault) if check.what == "statement" => {
                checks.add::<()>("statement", Err(job.sql_problem(&word, fault)), |()| None);
            }
            Ok(note) if check.what == "statement" => checks.pass("statement", note),
            _ => checks.extend(vec![check]),
        }
    }
    is_fine.then_some(built)
}

fn no_table<T>(job: &JobFile, value: &Spanned<T>, key: &str) -> Problem {
    let fault = Fault::config(format!("`{key}` says nothing without a table"))
        .with_hint("name the table whose keys the statement is run by: table = \"…\"");
    job.problem(value.span(), fault)
}

/// The step that runs the statement by the keys of a table. None if the table, or
/// its key, is not there: that is said.
async fn by_key(
    job: &JobFile,
    step: &StepSpec,
    spec: &SqlSpec,
    database: &Arc<dyn Database>,
    checks: &mut Checks,
) -> Option<Result<Step, Problem>> {
    let name = spec.table.as_ref()?;
    let Some(key) = &spec.key else {
        let fault = Fault::config("the key of the table is missing")
            .with_hint("name a column of whole numbers, unique and never NULL: key = \"id\"");
        return Some(Err(job.problem(name.span(), fault)));
    };
    let keys = async {
        let key = vec![key.get_ref().clone()];
        let table = TableSpec { columns: key.clone(), key, ..TableSpec::new(table(job, name)?) };
        let size = match &spec.size {
            None => SIZE,
            Some(size) => match whole(job, size)? {
                0 => return Err(job.problem(size.span(), Fault::config("it must be at least 1"))),
                size => size,
            },
        };
        let keys = database.source(&table).await.map_err(|fault| {
            let place = if fault.column().is_some() { key_of(spec) } else { name };
            job.problem(place.span(), fault)
        })?;
        let is_whole = keys.schema().fields().iter().all(|f| f.data_type().is_integer());
        if !is_whole {
            let fault = Fault::config(format!("{} is no whole number", key_of(spec).get_ref()))
                .with_hint("a statement is run by a key of whole numbers");
            return Err(job.problem(key_of(spec).span(), fault));
        }
        Ok((keys, usize::try_from(size).unwrap_or(usize::MAX)))
    };
    let (keys, size) =
        checks.add(format!("table {}", name.get_ref()), keys.await, |(_, size)| {
            Some(format!("{size} keys at a time"))
        })?;
    let statement = Statement::new(spec.statement.get_ref());
    let built = Step::statement_by_key(step.name.get_ref(), statement, keys, size);
    Some(built.map_err(|fault| job.sql_problem(&spec.statement, fault)))
}

fn key_of(spec: &SqlSpec) -> &Word {
    spec.key.as_ref().unwrap_or(&spec.statement)
}
