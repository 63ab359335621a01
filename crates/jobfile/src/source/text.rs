//! What the job file says of any file of text.

use kiln_files::{Compression, Encoding};

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::spec::SourceSpec;

pub(super) fn compression(
    job: &JobFile,
    source: &SourceSpec,
) -> Result<Option<Compression>, Problem> {
    let Some(word) = &source.compression else { return Ok(None) };
    let known = Compression::parse(&word.get_ref().to_ascii_lowercase());
    known.map(Some).map_err(|fault| job.problem(word.span(), fault))
}

pub(super) fn encoding(job: &JobFile, source: &SourceSpec) -> Result<Option<Encoding>, Problem> {
    let Some(word) = &source.encoding else { return Ok(None) };
    Encoding::parse(word.get_ref()).map(Some).map_err(|fault| job.problem(word.span(), fault))
}

pub(super) fn record_limit(
    job: &JobFile,
    source: &SourceSpec,
    default: usize,
) -> Result<usize, Problem> {
    source.max_record_bytes.as_ref().map_or(Ok(default), |bytes| job.positive(bytes))
}
