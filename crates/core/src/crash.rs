//! Places at which a test lets the process die.

/// Kills the process with SIGKILL if the environment variable
/// `KILN_CRASH_AT` is `name:n` and this is the n-th time (counted from 1) that
/// the process comes by this point. Does nothing in a build without the feature
/// `failpoints`.
///
/// A target calls it, for every unit, at `begin` (before the transaction),
/// `write` (when about half of the rows are written), `mark` (the mark is
/// written, the transaction open), `commit` (COMMIT is the next thing sent) and
/// `committed` (the target has committed, nobody was told).
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn crash_point(_name: &str) {}

/// See the other version of this function.
#[cfg(feature = "failpoints")]
pub fn crash_point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("KILN_CRASH_AT") else { return };
    let Some((point, n)) = wanted.rsplit_once(':') else { return };
    if point == name && n.parse() == Ok(SEEN.fetch_add(1, Ordering::SeqCst) + 1) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Whether a [`crash_point`] may kill this process: then each unit should come
/// by its points after those before it have been settled, so that a test knows
/// what it will find.
pub fn is_to_crash() -> bool {
    cfg!(feature = "failpoints") && std::env::var_os("KILN_CRASH_AT").is_some()
}
