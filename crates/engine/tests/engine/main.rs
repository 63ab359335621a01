//! The engine's behaviours, on a target in memory. Numbers such as B19 are those
//! of the list of behaviours.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;
mod conformance;
mod dead_letters;
mod events;
mod failures;
mod isolation;
mod lanes;
mod laws;
mod resume;
mod runs;
mod side_by_side;
mod sources;
mod start;
mod steps;
mod typed;
mod when;
