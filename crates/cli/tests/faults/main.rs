//! Every fault that a database can meet, on every database: whatever happens,
//! nothing is lost and nothing doubled. `docs/faults.md` says which test is for
//! which fault.
//!
//! `just faults` runs the long form of what is counted: see [`totals`].

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod books;
mod commits;
mod cuts;
mod kills;
mod locks;
mod moments;
mod on;
#[path = "../common/process.rs"]
mod process;
mod races;
mod random;
mod sales;
mod servers;
mod totals;
mod wrong;
