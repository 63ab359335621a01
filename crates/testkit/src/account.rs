//! Servers of a test's own: programs of Debian's packages, which refuse to run
//! as root and so run as `postgres` there.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The program, run by an account that it accepts.
pub(crate) fn as_server(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir("/");
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    command
}

/// Gives a file or folder to that account, and to nobody else.
pub(crate) fn give(path: &Path) {
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("its permissions");
    if let Some((user, group)) = account() {
        chown(path, Some(user), Some(group)).expect("another owner");
    }
}

/// User and group of `postgres`, where this process is root.
fn account() -> Option<(u32, u32)> {
    let own = std::fs::metadata("/proc/self").expect("Linux's /proc").uid();
    let id = |which| {
        let output = Command::new("id").args([which, "postgres"]).output().expect("id");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim().parse().expect("an account postgres, which Debian's packages make")
    };
    (own == 0).then(|| (id("-u"), id("-g")))
}

/// A port that nobody has just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}
