//! Files as sources: public cases, bad input, and laws.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test tells")]

mod common;
mod csv;
mod explode;
mod fixed;
mod json_array;
mod json_lines;
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
mod several;
mod suites;
