//! Find or create the row an item refers to
