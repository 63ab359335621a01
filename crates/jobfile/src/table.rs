//! `[source]` with a table: from its name to a source.

use std::sync::Arc;
use std::time::Duration;

use kiln_core::{Fault, Source, TableName, TableSpec};
use kiln_databases::{Database, connect};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::limits::whole;
use crate::problem::Problem;
use crate::shapes::{ListOr, Word};
use crate::spec::SourceSpec;

/// Opens the table that a step reads: in the database that its source names, or
/// in the target's.
pub(crate) async fn open(
    job: &JobFile,
    source: &SourceSpec,
    table: &Word,
    target: Option<&Arc<dyn Database>>,
) -> Result<Box<dyn Source>, Problem> {
    let spec = spec(job, source, table)?;
    let named;
    let database = match (&source.url, target) {
        (Some(url), _) => {
            let resolved = job.resolved_url(url)?;
            named = connect(&resolved, None).await.map_err(|f| job.problem(url.span(), f))?;
            &named
        }
        (None, Some(target)) => target,
        (None, None) => return Err(Fault::bug("a table without a database").into()),
    };
    database.source(&spec).await.map_err(|fault| {
        let place = fault.column().and_then(|column| place_of(source, column));
        job.problem(place.unwrap_or(table).span(), fault)
    })
}

/// Where a column is named.
fn place_of<'a>(source: &'a SourceSpec, column: &str) -> Option<&'a Word> {
    let key = source.key.iter().flat_map(Spanned::get_ref);
    let listed = match source.columns.as_ref().map(Spanned::get_ref) {
        Some(ListOr::List(names)) => names.as_slice(),
        _ => &[],
    };
    listed.iter().chain(key).chain(&source.watermark).find(|word| word.get_ref() == column)
}

fn spec(job: &JobFile, source: &SourceSpec, table: &Word) -> Result<TableSpec, Problem> {
    let name = TableName::parse(table.get_ref()).map_err(|f| job.problem(table.span(), f))?;
    let names = |words: &[Word]| words.iter().map(|w| w.get_ref().clone()).collect();
    let columns = match &source.columns {
        None => Vec::new(),
        Some(columns) => match columns.get_ref() {
            ListOr::List(words) if words.is_empty() => {
                let fault = Fault::config("a source without columns has nothing to give");
                return Err(job.problem(columns.span(), fault.with_hint("leave it out for all")));
            }
            ListOr::List(words) => names(words),
            ListOr::Table(_) => Vec::new(),
        },
    };
    Ok(TableSpec {
        columns,
        filter: source.filter.as_ref().map(|w| w.get_ref().clone()),
        key: source.key.as_ref().map(|key| names(key.get_ref())).unwrap_or_default(),
        snapshot: source.snapshot.as_ref().is_some_and(|s| *s.get_ref()),
        watermark: source.watermark.as_ref().map(|w| w.get_ref().clone()),
        lag: lag(job, source)?,
        ranges: ranges(job, source)?,
        ..TableSpec::new(name)
    })
}

fn lag(job: &JobFile, source: &SourceSpec) -> Result<Duration, Problem> {
    let Some(word) = &source.lag else { return Ok(Duration::ZERO) };
    if source.watermark.is_none() {
        let fault = Fault::config("a lag means nothing without a watermark");
        return Err(job.problem(word.span(), fault.with_hint("name one: watermark = \"…\"")));
    }
    duration(word.get_ref()).ok_or_else(|| {
        let fault = Fault::config(format!("{:?} is no length of time", word.get_ref()));
        job.problem(word.span(), fault.with_hint("write it as 30s, 5m, 2h or 1d"))
    })
}

fn ranges(job: &JobFile, source: &SourceSpec) -> Result<usize, Problem> {
    let Some(ranges) = &source.ranges else { return Ok(1) };
    let most = TableSpec::MOST_RANGES;
    let number = usize::try_from(whole(job, ranges)?).ok().filter(|n| (1..=most).contains(n));
    number.ok_or_else(|| {
        let fault = Fault::config(format!("a table is read in 1 to {most} ranges"));
        let hint = "each is a connection; as many as there are cores is a good beginning";
        job.problem(ranges.span(), fault.with_hint(hint))
    })
}

/// A whole number of seconds, minutes, hours or days.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(unit).filter(|s| *s <= 366 * 86_400).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(duration("1d"), Some(Duration::from_secs(86_400)));
        for other in ["", "5", "m", "-5m", "5 m", "1.5h", "5ä", "99999999999999999999d"] {
            assert_eq!(duration(other), None, "{other}");
        }
    }
}
