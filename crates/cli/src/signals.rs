//! SIGTERM and Ctrl-C: the first asks the run to stop, the second ends the
//! process.

use kiln::Stopper;
use kiln_core::Fault;
use kiln_jobfile::Problem;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit;

/// Watches for signals as long as the process lives. The first one lets the run
/// finish the chunk in hand; at the second the process is gone at once, and the
/// database rolls back what was not committed. At the first one `tell` is called
/// as well.
pub(crate) fn watch(stopper: Stopper, tell: impl FnOnce() + Send + 'static) -> Result<(), Problem> {
    let no_signals = |e| Problem::from(Fault::io("signals can't be watched", e));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    tokio::spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        stopper.stop();
        tell();
        std::process::exit(next(&mut terminate, &mut interrupt).await);
    });
    Ok(())
}

/// Waits for a signal, and gives the exit code of a process that it ends.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => exit::TERMINATED,
        _ = interrupt.recv() => exit::INTERRUPTED,
    }
}
