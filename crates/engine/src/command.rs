//! A command as a step: run, waited for, ended with the run.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kiln_core::{Fault, Kind, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::oneshot;

use crate::retry::stopped;
use crate::stop::Stop;

/// How much of what a command says last is kept.
const TAIL: usize = 4 << 10;

/// How many lines of it stand in a fault.
const LINES: usize = 5;

/// For how long a command that was asked to end may take to do so.
const GRACE: Duration = Duration::from_secs(10);

/// For how long what a command left running may go on to write.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program and its arguments; no shell stands between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    time_limit: Option<Duration>,
}

impl Command {
    /// A program, looked for as a shell does.
    pub fn new(program: impl Into<OsString>) -> Self {
        let program = program.into();
        let (arguments, environment) = (Vec::new(), Vec::new());
        Self { program, arguments, folder: None, environment, time_limit: None }
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// The program's name.
    pub fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// Runs it to its end, and gives what it said last. When the run is asked to
    /// stop, or the time is over, it and all that it started are asked to end, and
    /// ended if they do not.
    ///
    /// # Errors
    /// [`Kind::Config`] and [`Kind::NotPermitted`] if it can't be started,
    /// [`Kind::Io`] if it exits with another code than 0, is ended by a signal, or
    /// takes too long; [`Kind::Stopped`].
    pub(crate) async fn run(&self, stop: &mut Stop) -> Result<String> {
        let mut running = Running::start(self)?;
        let too_long = async {
            match self.time_limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let status = tokio::select! {
            status = running.ended() => status?,
            () = stop.requested() => {
                running.end().await;
                return Err(stopped());
            }
            () = too_long => {
                running.end().await;
                let limit = self.time_limit.unwrap_or_default().as_secs_f64();
                let why = format!("took longer than {limit} s, and was ended");
                return Err(self.failed(&why, "time_limit", &running.said()));
            }
        };
        running.hear_out().await;
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(running.said()),
            (Some(code), _) => {
                let why = format!("exited with {code}");
                Err(self.failed(&why, &format!("exit {code}"), &running.said()))
            }
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                let why = format!("was ended by signal {signal}");
                Err(self.failed(&why, &format!("signal {signal}"), &running.said()))
            }
        }
    }

    fn failed(&self, why: &str, code: &str, said: &str) -> Fault {
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
        let said = if last.is_empty() { String::new() } else { format!("; it said last:\n{last}") };
        Fault::new(Kind::Io, format!("the command {} {why}{said}", self.name()))
            .with_code(code)
            .with_hint("the next start runs it again: a command is run at least once")
    }

    fn not_started(&self, error: &io::Error) -> Fault {
        let name = self.name();
        match error.kind() {
            io::ErrorKind::NotFound if self.folder.as_deref().is_some_and(|f| !f.is_dir()) => {
                let folder = self.folder.as_deref().unwrap_or(Path::new("")).display();
                Fault::config(format!("the command {name} can't run in {folder}: it is no folder"))
            }
            io::ErrorKind::NotFound => Fault::config(format!("there is no program {name}"))
                .with_hint("name it by its path, or put its folder into PATH"),
            io::ErrorKind::PermissionDenied => {
                Fault::new(Kind::NotPermitted, format!("the program {name} may not be run"))
                    .with_hint("make it executable: chmod +x")
            }
            _ => Fault::new(Kind::Io, format!("the command {name} can't be started: {error}")),
        }
    }
}

/// A command at work, and all that it started: they are a group of processes of
/// their own. Dropped before its end, it is killed.
struct Running {
    group: Option<Pid>,
    is_over: bool,
    status: oneshot::Receiver<io::Result<ExitStatus>>,
    /// One for each of its outputs, gone when that is closed.
    outputs: Vec<oneshot::Receiver<()>>,
    tail: Arc<Mutex<VecDeque<u8>>>,
}

impl Running {
    fn start(command: &Command) -> Result<Self> {
        let mut child = process::Command::new(&command.program);
        child
            .args(&command.arguments)
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(folder) = command.folder.as_ref().filter(|f| !f.as_os_str().is_empty()) {
            child.current_dir(folder);
        }
        let mut child = child.spawn().map_err(|error| command.not_started(&error))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let tail = Arc::default();
        let outputs = [
            child.stdout.take().map(|out| listen(out, &tail)),
            child.stderr.take().map(|out| listen(out, &tail)),
        ];
        let (tell, status) = oneshot::channel();
        std::thread::spawn(move || {
            // Nobody listens any more once the run is over.
            let _ = tell.send(child.wait());
        });
        let outputs = outputs.into_iter().flatten().collect();
        Ok(Self { group, is_over: false, status, outputs, tail })
    }

    /// Waits for its end.
    async fn ended(&mut self) -> Result<ExitStatus> {
        let status = (&mut self.status).await;
        self.is_over = true;
        match status {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(Fault::io("the command can't be waited for", error)),
            Err(_) => Err(Fault::bug("nobody waits for the command")),
        }
    }

    /// Asks it to end, and after a while ends it.
    async fn end(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.ended()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.ended().await;
        }
        // What it started may have stayed.
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may be gone by now.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Reads what it wrote before its end; what it left running may hold its
    /// outputs open for ever.
    async fn hear_out(&mut self) {
        let all = async {
            for output in &mut self.outputs {
                let _ = output.await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
    }

    /// What it said last, of both outputs, whole lines.
    fn said(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_cut, bytes): (bool, Vec<u8>) = (tail.len() >= TAIL, tail.iter().copied().collect());
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        match text.split_once('\n') {
            Some((_, rest)) if is_cut => rest.to_owned(),
            _ => text,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.signal(Signal::KILL);
        }
    }
}

/// Keeps the end of what comes.
fn listen(
    mut output: impl Read + Send + 'static,
    tail: &Arc<Mutex<VecDeque<u8>>>,
) -> oneshot::Receiver<()> {
    let (closed, is_closed) = oneshot::channel::<()>();
    let tail = Arc::clone(tail);
    std::thread::spawn(move || {
        let mut bytes = [0; 4 << 10];
        loop {
            let n = match output.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(n) => n,
            };
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend(&bytes[..n]);
            let over = tail.len().saturating_sub(TAIL);
            tail.drain(..over);
        }
        drop(closed);
    });
    is_closed
}
