//! The job file: as written, checked, and built into a runnable job
