//! Databases as targets and ledgers: SQLite and PostgreSQL
