//! Batch jobs that finish: the engine, and the library a Rust job uses
