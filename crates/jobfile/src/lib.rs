//! The job file: as written, checked, and built into a runnable job.
//!
//! ```text
//! text ──load──▶ JobFile ──validate──▶ one ✓ or ✗ a check
//!      parse, fill in    ──preview───▶ the first items, as they would be written
//!      parameters        ──build─────▶ kiln::Job
//! ```
//!
//! What is wrong is a [`Problem`]: a fault and the line of the job file that it
//! comes from. Whatever kiln does not know is refused, never passed over.
//!
//! Two tables lead from words to things: the kinds of files (`source`) and the
//! kinds of databases ([`kiln_databases::connect`]).

mod build;
mod check;
mod definition;
mod each;
mod exec;
mod interpolate;
mod jobfile;
mod kind;
mod limits;
mod literal;
mod load;
mod mapping;
mod matches;
mod nearest;
mod parameters;
mod paths;
mod preview;
mod problem;
mod redrive;
mod secrets;
mod shapes;
mod source;
mod spec;
mod statement;
mod steps;
mod streams;
mod table;
mod target;
mod text;
mod writes;

pub use build::Built;
pub use check::Checked;
pub use jobfile::JobFile;
pub use preview::{Preview, PreviewFailure, PreviewTable, PreviewWarning};
pub use problem::Problem;
pub use redrive::{Redrive, redriven_by, stage};
pub use secrets::without_secrets;
pub use text::{printable, printable_lines};
