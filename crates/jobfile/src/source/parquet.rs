//! Parquet, as the job file describes it.

use std::path::Path;

use kiln_core::Source;
use kiln_files::{OpenFile, ParquetOptions, ParquetSource};

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::ListOr;
use crate::spec::SourceSpec;

/// Rows with types of their own.
pub(super) fn opener(_: &JobFile, source: &SourceSpec) -> Result<Box<OpenFile>, Problem> {
    let columns = match source.columns.as_ref().map(|c| c.get_ref()) {
        Some(ListOr::List(names)) => Some(names.iter().map(|n| n.get_ref().clone()).collect()),
        Some(ListOr::Table(_)) | None => None,
    };
    let options = ParquetOptions { columns, name: None };
    Ok(Box::new(move |path: &Path, name: &str| -> kiln_core::Result<Box<dyn Source>> {
        let options = ParquetOptions { name: Some(name.to_owned()), ..options.clone() };
        Ok(Box::new(ParquetSource::open(path, &options)?))
    }))
}
