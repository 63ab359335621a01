//! Files as targets: what every sink owes, and how results are shown.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test tells")]

mod folder;
mod formats;
mod publish;

mod sink {
    kiln_testkit::sink_suite!(crate::folder::fresh);
}
mod ledger {
    kiln_testkit::ledger_suite!(crate::folder::fresh);
}
