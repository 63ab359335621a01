//! Steps that run something: statements, and commands.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Recorder, Watch, assert_complete, counts, fault, numbers};
use crate::steps::{job, step, written};
use kiln::memory::MemoryTarget;
use kiln::{Command, Event, Fault, Kind, Report, Statement, Status, Step};

const PURGE: &str = "DELETE FROM t WHERE id > :from AND id <= :to";

/// The statements that were run, in order.
fn ran(target: &MemoryTarget) -> Vec<String> {
    target.rows("statements").iter().map(|row| row[0].clone().unwrap()).collect()
}

fn by_key(name: &str, keys: i64, size: usize) -> Step {
    Step::statement_by_key(name, Statement::new(PURGE), Box::new(numbers(keys)), size).unwrap()
}

fn ranges(bounds: &[(i64, i64)]) -> Vec<String> {
    let sql = |(from, to)| format!("DELETE FROM t WHERE id > ({from}) AND id <= ({to})");
    bounds.iter().copied().map(sql).collect()
}

#[tokio::test]
async fn a_statement_is_run_once() {
    let target = MemoryTarget::new();
    let once = || Step::statement("purge", &Statement::new("DELETE FROM t")).unwrap().needs("a");
    let report = job(&target, [step("a", 5), once()]).run().await;
    assert_complete(&report, counts(6, 0, 0));
    assert_eq!(ran(&target), ["DELETE FROM t"]);
    assert!(job(&target, [step("a", 5), once()]).run().await.already_complete);
    assert_eq!(ran(&target).len(), 1);
}

#[tokio::test]
async fn a_statement_goes_through_the_keys() {
    for (keys, size, bounds) in [
        (10, 4, vec![(0, 4), (4, 8), (8, 10)]),
        (8, 4, vec![(0, 4), (4, 8)]),
        (3, 100, vec![(0, 3)]),
        (2, 1, vec![(0, 1), (1, 2)]),
        (0, 5, vec![]),
    ] {
        let target = MemoryTarget::new();
        let report = job(&target, [by_key("purge", keys, size), step("b", 1)]).run().await;
        assert_complete(&report, counts(bounds.len() as u64 + 1, 0, 0));
        assert_eq!(ran(&target), ranges(&bounds));
    }
}

/// Broken off at each range in turn, answers lost or not, every range is run once.
#[tokio::test]
async fn each_range_is_run_exactly_once() {
    let all = ranges(&[(0, 3), (3, 6), (6, 9), (9, 10)]);
    for broken in 0..4 {
        for landed in [None, Some(false), Some(true)] {
            let target = MemoryTarget::new();
            let (trouble, seen) = (target.clone(), std::sync::atomic::AtomicUsize::new(0));
            let watch = Watch(move |event: &Event| {
                // One chunk is read ahead of each range that is sent.
                if !matches!(event, Event::Committed { .. } | Event::StepStarted { .. }) {
                    return;
                }
                if seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == broken {
                    match landed {
                        None => trouble.refuse_next(Fault::new(Kind::Io, "the disk broke")),
                        Some(landed) => trouble.lose_next_answer(landed),
                    }
                }
            });
            let purge = || [by_key("purge", 10, 3)];
            let first = job(&target, purge()).observe(Arc::new(watch)).run().await;
            if landed.is_none() {
                assert_eq!(fault(&first).kind(), Kind::Io);
                assert_eq!(ran(&target), all[..broken]);
                assert_complete(&job(&target, purge()).run().await, counts(4, 0, 0));
            } else {
                assert_complete(&first, counts(4, 0, 0));
            }
            assert_eq!(ran(&target), all, "{broken} {landed:?}");
        }
    }
}

#[test]
fn a_statement_that_does_not_bound_itself_is_refused() {
    let by = |sql: &str| {
        Step::statement_by_key("s", Statement::new(sql), Box::new(numbers(1)), 1).err().unwrap()
    };
    assert!(by("DELETE FROM t").message().contains(":from"));
    assert!(by("DELETE FROM t WHERE id > :from").message().contains(":to"));
    assert!(by("DELETE FROM t WHERE id > :from AND id <= :too").message().contains(":too"));
    let once = Step::statement("s", &Statement::new("DELETE FROM t WHERE id > :from"));
    assert_eq!(once.err().unwrap().kind(), Kind::Config);
}

fn shell(script: &str) -> Command {
    Command::new("sh").argument("-c").argument(script)
}

/// Runs a job whose only step is a command.
async fn run(target: &MemoryTarget, command: Command) -> Report {
    job(target, [Step::command("it", command).unwrap()]).run().await
}

#[tokio::test]
async fn a_command_runs_until_it_has_succeeded() {
    let folder = tempfile::tempdir().unwrap();
    let target = MemoryTarget::new();
    let script = "echo once >> runs; echo \"$KILN_JOB $KILN_STEP $X\"; test -n \"$KILN_RUN\"; \
                  test \"$KILN_PARAMETERS\" = 'a=1' || exit 3; test -e ready";
    let command = || shell(script).folder(folder.path()).variable("X", "y z");
    let started = || {
        let step = Step::command("it", command()).unwrap();
        job(&target, [step]).parameters("a=1")
    };
    let failed = started().run().await;
    assert_eq!(fault(&failed).kind(), Kind::Io);
    assert_eq!(fault(&failed).code(), Some("exit 1"));
    let said = "the command sh exited with 1; it said last:\nnumbers it y z";
    assert_eq!(fault(&failed).message(), said);
    assert_eq!(failed.counts, counts(0, 0, 0));
    std::fs::write(folder.path().join("ready"), "").unwrap();
    let recorder = Arc::new(Recorder::default());
    let report = started().observe(Arc::clone(&recorder) as Arc<_>).run().await;
    assert_complete(&report, counts(1, 0, 0));
    assert_eq!(report.steps[0].said.as_deref(), Some("numbers it y z"));
    let ended = |event: &Event| matches!(event, Event::CommandEnded { .. });
    assert!(recorder.events().iter().any(ended));
    assert!(started().run().await.already_complete);
    let runs = std::fs::read_to_string(folder.path().join("runs")).unwrap();
    assert_eq!(runs, "once\nonce\n");
}

#[tokio::test]
async fn a_command_that_ends_badly_fails_its_step() {
    let target = MemoryTarget::new();
    let killed = run(&target, shell("kill -9 $$")).await;
    assert_eq!(fault(&killed).code(), Some("signal 9"));
    let missing = run(&target, Command::new("no-such-program-anywhere")).await;
    assert_eq!(fault(&missing).kind(), Kind::Config);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain");
    std::fs::write(&file, "").unwrap();
    assert_eq!(fault(&run(&target, Command::new(&file)).await).kind(), Kind::NotPermitted);
    let nowhere = shell("true").folder(folder.path().join("none"));
    assert!(fault(&run(&target, nowhere).await).message().contains("it is no folder"));
    let noisy = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 7";
    let noisy = run(&target, shell(noisy)).await;
    let last: Vec<String> = (2995..3000).map(|i| format!("line {i}")).collect();
    assert!(fault(&noisy).message().ends_with(&last.join("\n")), "{:?}", noisy.fault);
}

/// Whether the process whose number stands in a file lives.
fn lives(file: &Path) -> bool {
    let pid = std::fs::read_to_string(file).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// That it ends: one that is killed is not gone at once.
async fn is_gone(file: &Path) {
    let began = Instant::now();
    while lives(file) {
        assert!(began.elapsed() < Duration::from_secs(10), "the command lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What takes too long is ended, and so is all that it started.
#[tokio::test]
async fn a_command_has_a_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    let target = MemoryTarget::new();
    let script = "sh -c 'echo $$ > child; exec sleep 1000' & wait";
    let command = shell(script).folder(folder.path()).time_limit(Duration::from_millis(500));
    let began = Instant::now();
    let late = run(&target, command).await;
    assert_eq!(fault(&late).code(), Some("time_limit"));
    assert!(fault(&late).message().contains("took longer than 0.5 s"), "{:?}", late.fault);
    assert!(began.elapsed() < Duration::from_secs(9));
    is_gone(&folder.path().join("child")).await;
}

/// What a command leaves running keeps nobody waiting.
#[tokio::test]
async fn what_stays_behind_is_not_waited_for() {
    let target = MemoryTarget::new();
    let began = Instant::now();
    let report = run(&target, shell("echo said; sleep 30 &")).await;
    assert_complete(&report, counts(1, 0, 0));
    assert_eq!(report.steps[0].said.as_deref(), Some("said"));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn b10_a_stop_ends_the_command_which_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = MemoryTarget::new();
    let script = "trap 'echo asked > asked; exit 1' TERM; echo $$ > pid; \
                  test -e asked && exit 0; while :; do sleep 0.05; done";
    let steps = || {
        let command = shell(script).folder(folder.path());
        [Step::command("it", command).unwrap(), step("b", 10).needs("it")]
    };
    let (stopper, stop) = kiln::Stop::new();
    let running = tokio::spawn(job(&target, steps()).stop_on(stop).run());
    while !folder.path().join("pid").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stopper.stop();
    let stopped = running.await.unwrap();
    assert_eq!(stopped.status, Status::Stopped, "{:?}", stopped.fault);
    assert!(folder.path().join("asked").exists());
    is_gone(&folder.path().join("pid")).await;
    assert_complete(&job(&target, steps()).run().await, counts(11, 0, 0));
    assert_eq!(written(&target, "b").len(), 10);
}

/// A run that somebody else has taken over leaves no command behind.
#[tokio::test(flavor = "multi_thread")]
async fn b35_a_run_given_up_ends_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let target = MemoryTarget::new();
    let command = shell("echo $$ > pid; exec sleep 1000").folder(folder.path());
    let lease = Duration::from_secs(1);
    let options = kiln::Options { lease, ..crate::common::options(10) };
    let job = job(&target, [Step::command("it", command).unwrap()]).options(options);
    let running = tokio::spawn(job.run());
    while !std::fs::read_to_string(folder.path().join("pid")).is_ok_and(|pid| pid.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ledger = target.ledger();
    let run = ledger.newest("numbers", "").await.unwrap().unwrap().start.id;
    assert!(ledger.abandon(&run, 1).await.unwrap());
    assert_eq!(fault(&running.await.unwrap()).kind(), Kind::Fenced);
    is_gone(&folder.path().join("pid")).await;
}
