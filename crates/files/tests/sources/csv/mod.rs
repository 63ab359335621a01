//! CSV against public cases, bad input, and laws.

mod corpus;
mod faults;
mod properties;
mod records;
