//! Any text as a job file: it is read, or what is wrong with it is told.

#![no_main]

use kiln_fuzz::Bench;
use kiln_jobfile::JobFile;
use libfuzzer_sys::fuzz_target;

std::thread_local!(static BENCH: Bench = Bench::default());

fuzz_target!(|input: (Vec<(String, String)>, String)| {
    let (parameters, text) = input;
    BENCH.with(|bench| {
        let path = bench.file("job.toml", text.as_bytes());
        match JobFile::load(&path, &parameters) {
            Ok(job) => drop((job.name().len(), job.parameters(), job.shown_url())),
            Err(problem) => assert!(!problem.to_string().is_empty()),
        }
    });
});
