//! The CSV source against public cases, bad input, and laws.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test tells")]

mod common;
mod corpus;
mod faults;
mod properties;
mod records;
