//! Files as sources: CSV, plain or compressed
