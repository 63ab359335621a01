//! Mapping by SQL: what is refused, what fails, what comes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

mod failures;
mod functions;
mod items;
mod json;
mod mapping;
mod refusals;
