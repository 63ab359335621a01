//! Starts of kiln as processes of their own: how they end, and signals to them.

// Each test file uses what it needs of it.
#![allow(dead_code)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// For how long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How a start ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) report: Value,
    pub(crate) stderr: String,
}

impl Ended {
    /// # Panics
    /// With all it said, if it did not end so.
    pub(crate) fn expect(self, code: i32) -> Value {
        assert_eq!(self.status.code(), Some(code), "{:?}\n{}", self.status, self.stderr);
        self.report
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

/// Waits for a process, which must not take for ever.
pub(crate) fn wait(child: Child) -> Ended {
    let pid = pid(&child);
    let (done, is_done) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output();
        // Nobody listens any more where it took too long.
        let _ = done.send(());
        output
    });
    if is_done.recv_timeout(PATIENCE).is_err() {
        let _ = kill_process(pid, Signal::KILL);
        let output = waiting.join().unwrap().unwrap();
        panic!("it did not end: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = waiting.join().unwrap().unwrap();
    Ended {
        status: output.status,
        report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(pid(child), signal).unwrap();
}
