//! Texts of a catalog, and how alike others are to them.
//!
//! ```text
//! text ──words──▶ words ──vocabulary──▶ words of the catalog ──column──▶ rows, scored
//! ```
//!
//! A text is its words, each with a weight: the rarer a word is in the catalog,
//! the more it says. Two texts are as alike as the weight they have in common,
//! of the weight they have.

mod column;
mod likeness;
mod vocabulary;
mod words;

pub(crate) use column::{Asked, TextColumn};
