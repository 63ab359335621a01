//! The job of `examples/invoices`, run by the real binary on real input, on every
//! database: undisturbed, killed at named points and at random moments, asked to
//! stop, and started twice. What must come out is told by plain SQL, without
//! kiln.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod books;
mod crash;
mod input;
mod oracle;
mod pooler;
#[path = "../common/process.rs"]
mod process;
mod shop;
mod signals;
