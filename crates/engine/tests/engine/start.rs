//! Which run a start works on.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::{Probe, assert_complete, counts, fault, job, numbers, options, written};
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use kiln::memory::{MemorySource, MemoryTarget};
use kiln::{
    Fault, Fingerprint, Job, Kind, NewRun, Options, Owner, Report, RunId, RunRecord, RunState,
    Status,
};

/// Always breaks at the third chunk.
fn breaking(target: &MemoryTarget, items: i64) -> Job {
    let probe = Probe::new().hook(|o| match o {
        25 => Err(Fault::config("broken")),
        _ => Ok(()),
    });
    job(target, numbers(items), 10).map(probe.boxed())
}

fn again(chunk: usize) -> Options {
    Options { again: true, ..options(chunk) }
}

async fn runs(target: &MemoryTarget) -> Vec<RunRecord> {
    target.ledger().runs(None, 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_a_complete_run_is_not_run_again() {
    let target = MemoryTarget::new();
    let first = job(&target, numbers(30), 10).run().await;
    let tried = target.tried();
    let second = job(&target, numbers(30), 10).run().await;
    assert!(second.already_complete && !first.already_complete);
    assert_eq!((second.run, second.status), (first.run, Status::Success));
    assert_eq!((second.counts, second.chunks), (counts(30, 0, 0), 0));
    assert!(second.fault.is_none());
    assert_eq!((target.tried(), runs(&target).await.len()), (tried, 1));
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    let target = MemoryTarget::new();
    let run = tokio::spawn(job(&target, numbers(5), 2).run());
    assert_eq!(run.await.unwrap().status, Status::Success);
}

#[tokio::test]
async fn b7_again_and_other_parameters_and_other_input_start_new_runs() {
    let target = MemoryTarget::new();
    let starts = [
        job(&target, numbers(30), 10),
        job(&target, numbers(30), 10).options(again(10)),
        job(&target, numbers(30), 10).parameters("other"),
        job(&target, numbers(29), 10),
    ];
    let mut names = Vec::new();
    for start in starts {
        let report = start.run().await;
        assert!(!report.already_complete && !report.resumed && report.fault.is_none());
        names.push(report.run.unwrap());
    }
    names.dedup();
    assert_eq!(names.len(), 4);
    assert_eq!(written(&target).len(), 119);
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_again_gives_an_open_run_up_for_good() {
    let target = MemoryTarget::new();
    let broken = breaking(&target, 30).run().await;
    let fresh = job(&target, numbers(30), 10).options(again(10)).run().await;
    assert!(!fresh.resumed);
    assert_ne!(fresh.run, broken.run);
    assert_complete(&fresh, counts(30, 0, 0));
    let states: Vec<RunState> = runs(&target).await.iter().map(|r| r.state).collect();
    assert_eq!(states, [RunState::Completed, RunState::Abandoned]);
    // What was given up is not resumed, although it never completed.
    assert!(job(&target, numbers(30), 10).run().await.already_complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_each_parameters_resume_a_run_of_their_own() {
    let target = MemoryTarget::new();
    let broken = breaking(&target, 30).parameters("a").run().await;
    let other = breaking(&target, 30).parameters("b").run().await;
    assert_ne!(broken.run, other.run);
    let resumed = job(&target, numbers(30), 10).parameters("a").run().await;
    assert_eq!(resumed.run, broken.run);
    assert_complete(&resumed, counts(30, 0, 0));
}

async fn resume_with(target: &MemoryTarget, source: MemorySource, accept: bool) -> Report {
    let options = Options { accept_changed_input: accept, ..options(10) };
    job(target, source, 10).options(options).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_a_changed_input_is_refused_unless_accepted() {
    let target = MemoryTarget::new();
    breaking(&target, 30).run().await;
    let refused = resume_with(&target, numbers(40), false).await;
    assert_eq!(fault(&refused).kind(), Kind::Config);
    assert!(fault(&refused).message().contains("size was 30, is 40"), "{:?}", refused.fault);
    assert!(fault(&refused).hint().is_some_and(|h| h.contains("--accept-changed-input")));
    assert_eq!(written(&target).len(), 20);
    assert_eq!(runs(&target).await[0].state, RunState::Failed);

    let accepted = resume_with(&target, numbers(40), true).await;
    assert_complete(&accepted, counts(40, 0, 0));
    assert_eq!(accepted.changes.len(), 1, "{:?}", accepted.changes);
    assert_eq!(written(&target), (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_other_columns_are_refused_even_if_accepted() {
    let target = MemoryTarget::new();
    breaking(&target, 30).run().await;
    let schema = Schema::new(vec![Field::new("m", DataType::Int64, false)]);
    let column = Arc::new((1..=30).collect::<Int64Array>());
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap();
    let refused = resume_with(&target, MemorySource::new("numbers", batch), true).await;
    assert_eq!(fault(&refused).kind(), Kind::Config);
    assert!(fault(&refused).message().contains("columns"), "{:?}", refused.fault);
    assert_eq!(written(&target).len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn b12_a_resumed_run_tells_what_changed_in_the_job() {
    let target = MemoryTarget::new();
    let was = Fingerprint::default().with("map", "SELECT 1").with("chunk", 10);
    let is = Fingerprint::default().with("map", "SELECT 1").with("chunk", 7).with("new", "x");
    breaking(&target, 30).definition(was).run().await;
    let resumed = job(&target, numbers(30), 7).definition(is).run().await;
    assert_complete(&resumed, counts(30, 0, 0));
    assert_eq!(resumed.changes, ["the job: chunk was 10, is 7", "the job: new was nothing, is x"]);
    assert_eq!(written(&target), (1..=30).collect::<Vec<_>>());
}

/// A mapper that says when it is at item 15, and waits there.
fn waiting() -> (Probe, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, is_there) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let probe = Probe::new().hook(move |o| {
        if o == 15 {
            arrived.send(()).unwrap();
            // An error means that the test is over.
            let _ = may_go.lock().unwrap().recv();
        }
        Ok(())
    });
    (probe, is_there, go_on)
}

/// Runs a job as another process would: with threads of its own.
fn in_background(job: Job) -> JoinHandle<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    std::thread::spawn(move || runtime.block_on(job.run()))
}

#[tokio::test(flavor = "multi_thread")]
async fn b34_a_run_that_lives_is_held() {
    let target = MemoryTarget::new();
    let (probe, is_there, go_on) = waiting();
    let first = in_background(job(&target, numbers(30), 10).map(probe.boxed()));
    is_there.recv().unwrap();

    for options in [options(10), again(10)] {
        let second = job(&target, numbers(30), 10).options(options).run().await;
        assert_eq!(fault(&second).kind(), Kind::Held);
        assert!(!fault(&second).is_transient());
        let text = fault(&second).message();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("since "), "{text}");
    }
    go_on.send(()).unwrap();
    assert_complete(&first.join().unwrap(), counts(30, 0, 0));
    assert_eq!(written(&target), (1..=30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn b35_a_runner_whose_run_was_taken_over_writes_nothing_more() {
    let target = MemoryTarget::new();
    let (probe, is_there, go_on) = waiting();
    // So long that no heartbeat tells it: the fence alone must hold.
    let options = Options { lease: Duration::from_secs(3600), ..options(10) };
    let sleeper = job(&target, numbers(30), 10).options(options).map(probe.boxed());
    let sleeper = in_background(sleeper);
    is_there.recv().unwrap();
    let taken = take_over(&target).await;
    go_on.send(()).unwrap();

    let report = sleeper.join().unwrap();
    assert_eq!(fault(&report).kind(), Kind::Fenced);
    assert!(written(&target).len() <= 10, "{:?}", written(&target));
    let record = target.ledger().run(&taken.0).await.unwrap().unwrap();
    assert_eq!((record.state, record.epoch), (RunState::Running, 2), "it is the other's to end");
}

#[tokio::test(flavor = "multi_thread")]
async fn b35_a_heartbeat_tells_a_runner_that_it_lost_its_run() {
    let target = MemoryTarget::new();
    let (probe, is_there, go_on) = waiting();
    let options = Options { lease: Duration::from_secs(1), ..options(10) };
    let sleeper = job(&target, numbers(30), 10).options(options).map(probe.boxed());
    let sleeper = in_background(sleeper);
    is_there.recv().unwrap();
    take_over(&target).await;
    // It goes on when the heartbeat has come by, and finds its future gone.
    tokio::time::sleep(Duration::from_millis(500)).await;
    go_on.send(()).unwrap();
    assert_eq!(fault(&sleeper.join().unwrap()).kind(), Kind::Fenced);
    assert!(written(&target).len() <= 10);
}

/// Takes the newest run and its lane, as the start of another process would.
async fn take_over(target: &MemoryTarget) -> RunId {
    let ledger = target.ledger();
    let run = ledger.newest("numbers", "").await.unwrap().unwrap().start.id;
    let lease = Duration::from_secs(3600);
    let claim = ledger.claim(&run, 1, &Owner::default(), lease, true).await.unwrap().unwrap();
    let key =
        kiln::LaneKey { run: run.clone(), step: "main".to_owned(), lane: 0, epoch: claim.epoch };
    let source = numbers(1);
    let items = kiln::Source::schema(&source);
    target.sink().open(&key, &[crate::common::into_out()], &items).await.unwrap();
    run
}

#[tokio::test]
async fn b36_the_run_of_a_dead_process_is_taken_over() {
    let target = MemoryTarget::new();
    let ledger = target.ledger();
    // This process's own name, but born at another time: nobody alive.
    job(&target, numbers(1), 10).parameters("probe").run().await;
    let me = ledger.newest("numbers", "probe").await.unwrap().unwrap().owner;
    let (process, _) = me.identity.rsplit_once('/').unwrap();
    let dead = Owner { identity: format!("{process}/1"), ..me.clone() };
    let living = me;

    for (parameters, owner, taken) in [("dead", dead, true), ("living", living, false)] {
        let run = NewRun {
            id: RunId(format!("run-{parameters}")),
            job: "numbers".to_owned(),
            parameters: parameters.to_owned(),
            source: kiln::Source::fingerprint(&numbers(30)),
            definition: Fingerprint::default(),
        };
        ledger.create(&run, None, &owner, Duration::from_secs(3600)).await.unwrap().unwrap();
        let report = job(&target, numbers(30), 10).parameters(parameters).run().await;
        if taken {
            assert_eq!(report.run, Some(run.id));
            assert!(report.resumed);
            assert_complete(&report, counts(30, 0, 0));
        } else {
            assert_eq!(fault(&report).kind(), Kind::Held);
        }
    }
}

#[tokio::test]
async fn b36_a_run_whose_lease_ran_out_is_taken_over() {
    let target = MemoryTarget::new();
    let run = NewRun {
        id: RunId("far away".to_owned()),
        job: "numbers".to_owned(),
        parameters: String::new(),
        source: kiln::Source::fingerprint(&numbers(30)),
        definition: Fingerprint::default(),
    };
    let elsewhere = Owner { host: "elsewhere".to_owned(), pid: 1, identity: "x/1/1".to_owned() };
    let ledger = target.ledger();
    let claim =
        ledger.create(&run, None, &elsewhere, Duration::from_secs(3600)).await.unwrap().unwrap();
    let held = job(&target, numbers(30), 10).run().await;
    assert_eq!(fault(&held).kind(), Kind::Held);
    assert!(fault(&held).message().contains("elsewhere"), "{:?}", held.fault);
    ledger.heartbeat(&claim, Duration::ZERO).await.unwrap();
    let report = job(&target, numbers(30), 10).run().await;
    assert_eq!(report.run, Some(run.id));
    assert_complete(&report, counts(30, 0, 0));
}
