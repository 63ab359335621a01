//! Exit codes, after sysexits: the one place where faults become numbers.

use kiln::Report;
use kiln_core::{Kind, Status};
use kiln_jobfile::Problem;

/// Done; if it was a run, it is complete.
pub(crate) const COMPLETE: u8 = 0;
/// The command was wrong.
pub(crate) const USAGE: u8 = 64;
/// Too many items failed.
pub(crate) const LIMIT: u8 = 65;
/// The second SIGINT and the second SIGTERM.
pub(crate) const INTERRUPTED: i32 = 130;
/// See [`INTERRUPTED`].
pub(crate) const TERMINATED: i32 = 143;

/// The code of a problem.
pub(crate) fn of(problem: &Problem) -> u8 {
    if problem.is_usage() { USAGE } else { of_kind(problem.fault().kind()) }
}

/// The code of a run. With `strict`, failed items show in it although the run
/// is complete.
pub(crate) fn of_report(report: &Report, strict: bool) -> u8 {
    match (&report.fault, report.status) {
        (Some(fault), _) => of_kind(fault.kind()),
        (None, Status::PartialSuccess) if strict => LIMIT,
        (None, Status::Success | Status::PartialSuccess) => COMPLETE,
        (None, Status::Stopped) => of_kind(Kind::Stopped),
        (None, Status::Failed | Status::Skipped) => of_kind(Kind::Bug),
    }
}

fn of_kind(kind: Kind) -> u8 {
    match kind {
        Kind::Item | Kind::Limit | Kind::InputInvalid => LIMIT,
        Kind::InputMissing => 66,
        Kind::Unreachable | Kind::Busy => 69,
        Kind::Bug => 70,
        Kind::Io => 74,
        Kind::Stopped | Kind::Held | Kind::Fenced => 75,
        Kind::NotPermitted => 77,
        Kind::Config => 78,
    }
}
