//! What stands in for queries in a build without them.

use kiln_core::{Fault, Source};

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::{SourceSpec, StepSpec};

/// Says that it can't be run.
pub(crate) fn open(
    job: &JobFile,
    _: &StepSpec,
    _: &SourceSpec,
    query: &Word,
) -> Result<Box<dyn Source>, Problem> {
    let fault = Fault::config("this kiln was built without queries")
        .with_hint("build it with them: cargo install kiln-cli --features query");
    Err(job.problem(query.span(), fault))
}
