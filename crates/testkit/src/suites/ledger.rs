//! What every ledger owes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kiln_core::{
    Claim, Counts, Fingerprint, Kind, Ledger, NewRun, Owner, RunId, RunRecord, RunState,
};

use crate::TestTarget;
use crate::notes::{self, Fate, insert_notes, key, unit};

type Target = dyn TestTarget;

const LEASE: Duration = Duration::from_secs(60);

/// A run that was never there before.
fn new_run(job: &str, parameters: &str) -> NewRun {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    NewRun {
        id: RunId(format!("{made:08x}-run")),
        job: job.to_owned(),
        parameters: parameters.to_owned(),
        source: Fingerprint::default().with("size", 12).with("odd", "a\n'b' \"c\" \\N é🔥"),
        definition: Fingerprint::default().with("map", "SELECT 1"),
    }
}

fn owner(pid: u32) -> Owner {
    Owner { host: "a host".to_owned(), pid, identity: format!("boot/{pid}/1") }
}

/// A new run of a job, held.
pub async fn begin(ledger: &dyn Ledger, job: &str, parameters: &str) -> Claim {
    let run = new_run(job, parameters);
    let newest = ledger.newest(job, parameters).await.expect("a ledger").map(|r| r.start.id);
    let created = ledger.create(&run, newest.as_ref(), &owner(1), LEASE).await;
    created.expect("a ledger").expect("a new run")
}

async fn record(ledger: &dyn Ledger, run: &RunId) -> RunRecord {
    ledger.run(&run.0).await.expect("a ledger").expect("the run")
}

/// Whoever prepares, the ledger is there, and what was in it stays.
pub async fn preparing_twice_and_at_once_changes_nothing(target: &Target) {
    let claim = begin(&*target.ledger(), "job", "").await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let ledger = target.again().await.ledger();
        tasks.push(tokio::spawn(async move { ledger.prepare().await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    target.ledger().prepare().await.unwrap();
    assert_eq!(record(&*target.ledger(), &claim.run).await.epoch, 1);
}

/// Every field of a run is kept.
pub async fn a_run_comes_back_as_it_was_created(target: &Target) {
    let ledger = target.ledger();
    let run = new_run("a 'job'", "{\"file\":\"é\\n\"}");
    let claim = ledger.create(&run, None, &owner(7), LEASE).await.unwrap().unwrap();
    assert_eq!(claim, Claim { run: run.id.clone(), epoch: 1 });
    let found = record(&*target.again().await.ledger(), &run.id).await;
    assert_eq!(found.start, run);
    assert_eq!((found.state, found.epoch), (RunState::Running, 1));
    assert_eq!(found.owner, owner(7));
    assert!(found.leased);
    assert!(!found.started_at.is_empty() && !found.claimed_at.is_empty());
    assert_eq!((found.ended_at, found.message), (None, None));
    assert_eq!(found.counts, Counts::default());
}

/// B8, B34: of the same job and parameters one run is open; others don't mind.
pub async fn one_run_of_a_job_and_its_parameters_is_open(target: &Target) {
    let ledger = target.ledger();
    let claim = begin(&*ledger, "job", "a").await;
    assert_eq!(ledger.create(&new_run("job", "a"), None, &owner(2), LEASE).await.unwrap(), None);
    begin(&*ledger, "job", "b").await;
    begin(&*ledger, "another", "a").await;
    ledger.finish(&claim, RunState::Failed, Some("it broke")).await.unwrap();
    // A failed run is open: it is to be resumed.
    assert_eq!(ledger.create(&new_run("job", "a"), None, &owner(2), LEASE).await.unwrap(), None);
    let claim = ledger.claim(&claim.run, 1, &owner(1), LEASE, false).await.unwrap().unwrap();
    ledger.finish(&claim, RunState::Completed, None).await.unwrap();
    begin(&*ledger, "job", "a").await;
}

/// B34: who has not seen the newest run makes none, also when that one is over.
pub async fn a_run_is_made_behind_the_newest_that_was_seen(target: &Target) {
    let ledger = target.ledger();
    let (first, second, third) = (new_run("job", ""), new_run("job", ""), new_run("job", ""));
    let create = async |run: &NewRun, behind: Option<&RunId>| {
        target.ledger().create(run, behind, &owner(1), LEASE).await.unwrap()
    };
    assert_eq!(create(&first, Some(&second.id)).await, None);
    let claim = create(&first, None).await.unwrap();
    assert_eq!(create(&second, Some(&first.id)).await, None, "the first is open");
    ledger.finish(&claim, RunState::Completed, None).await.unwrap();
    begin(&*ledger, "job", "of its own").await;
    assert_eq!(create(&second, None).await, None);
    let claim = create(&second, Some(&first.id)).await.unwrap();
    assert!(ledger.abandon(&second.id, claim.epoch).await.unwrap());
    assert_eq!(create(&third, Some(&first.id)).await, None);
    assert!(create(&third, Some(&second.id)).await.is_some());
}

/// Fault 20: of ten creations at once one makes the run.
pub async fn of_creations_at_once_one_wins(target: &Target) {
    for round in 0..5 {
        let mut tasks = Vec::new();
        for pid in 0..10 {
            let ledger = target.again().await.ledger();
            let run = new_run("job", &round.to_string());
            tasks.push(tokio::spawn(
                async move { ledger.create(&run, None, &owner(pid), LEASE).await },
            ));
        }
        let mut winners = 0;
        for task in tasks {
            winners += usize::from(task.await.unwrap().unwrap().is_some());
        }
        assert_eq!(winners, 1, "round {round}");
    }
    assert_eq!(target.ledger().runs(None, 100).await.unwrap().len(), 5);
}

/// The newest is the newest of the same job and parameters, whatever its state.
pub async fn the_newest_is_the_last_one_created(target: &Target) {
    let ledger = target.ledger();
    assert_eq!(ledger.newest("job", "").await.unwrap(), None);
    for _ in 0..3 {
        let claim = begin(&*ledger, "job", "").await;
        begin(&*ledger, "job", &claim.run.0).await;
        begin(&*ledger, &claim.run.0, "").await;
        let newest = ledger.newest("job", "").await.unwrap().unwrap();
        assert_eq!(newest.start.id, claim.run);
        ledger.finish(&claim, RunState::Completed, None).await.unwrap();
        let newest = ledger.newest("job", "").await.unwrap().unwrap();
        assert_eq!((newest.start.id, newest.state), (claim.run, RunState::Completed));
    }
}

/// A living lease keeps others away, unless they know that its owner is dead.
pub async fn a_leased_run_is_not_claimed_unless_told(target: &Target) {
    let ledger = target.ledger();
    let claim = begin(&*ledger, "job", "").await;
    assert_eq!(ledger.claim(&claim.run, 1, &owner(2), LEASE, false).await.unwrap(), None);
    assert_eq!(record(&*ledger, &claim.run).await.owner, owner(1));
    let taken = ledger.claim(&claim.run, 1, &owner(2), LEASE, true).await.unwrap().unwrap();
    assert_eq!(taken, Claim { run: claim.run.clone(), epoch: 2 });
    let found = record(&*ledger, &claim.run).await;
    assert_eq!((found.owner, found.epoch, found.leased), (owner(2), 2, true));
}

/// Who saw another epoch comes too late, or from nowhere.
pub async fn a_claim_must_know_the_epoch(target: &Target) {
    let ledger = target.ledger();
    let run = begin(&*ledger, "job", "").await.run;
    for epoch in [0, 2, 100] {
        assert_eq!(ledger.claim(&run, epoch, &owner(2), LEASE, true).await.unwrap(), None);
    }
    let nobody = RunId("nothing".to_owned());
    assert_eq!(ledger.claim(&nobody, 1, &owner(2), LEASE, true).await.unwrap(), None);
    assert_eq!(record(&*ledger, &run).await.epoch, 1);
}

/// Of ten who take over at once one gets the run.
pub async fn of_claims_at_once_one_wins(target: &Target) {
    let claim = begin(&*target.ledger(), "job", "").await;
    target.ledger().finish(&claim, RunState::Stopped, None).await.unwrap();
    let mut tasks = Vec::new();
    for pid in 0..10 {
        let (ledger, run) = (target.again().await.ledger(), claim.run.clone());
        tasks.push(tokio::spawn(async move {
            ledger.claim(&run, 1, &owner(pid), LEASE, false).await.unwrap().map(|_| pid)
        }));
    }
    let mut winners = Vec::new();
    for task in tasks {
        winners.extend(task.await.unwrap());
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    let found = record(&*target.ledger(), &claim.run).await;
    assert_eq!((found.epoch, found.owner.pid), (2, winners[0]));
}

/// B36: a lease runs out by the ledger's clock; a heartbeat prolongs it.
pub async fn a_lease_runs_out_and_a_heartbeat_prolongs_it(target: &Target) {
    let ledger = target.ledger();
    let short = Duration::from_secs(1);
    let run = new_run("job", "");
    let began = Instant::now();
    let claim = ledger.create(&run, None, &owner(1), short).await.unwrap().unwrap();
    while record(&*ledger, &run.id).await.leased {
        assert!(began.elapsed() < Duration::from_secs(30), "the lease does not run out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= short * 9 / 10, "ran out after {:?}", began.elapsed());
    // Its owner was only slow: it holds the run until somebody takes it.
    ledger.heartbeat(&claim, LEASE).await.unwrap();
    assert!(record(&*ledger, &run.id).await.leased);
    assert_eq!(ledger.claim(&run.id, 1, &owner(2), LEASE, false).await.unwrap(), None);
    ledger.heartbeat(&claim, Duration::ZERO).await.unwrap();
    assert!(ledger.claim(&run.id, 1, &owner(2), LEASE, false).await.unwrap().is_some());
}

/// Who lost the run can neither hold it nor end it.
pub async fn a_former_owner_is_fenced(target: &Target) {
    let ledger = target.ledger();
    let old = begin(&*ledger, "job", "").await;
    let new = ledger.claim(&old.run, 1, &owner(2), LEASE, true).await.unwrap().unwrap();
    let heartbeat = ledger.heartbeat(&old, LEASE).await.unwrap_err();
    assert_eq!(heartbeat.kind(), Kind::Fenced, "{heartbeat}");
    for state in [RunState::Stopped, RunState::Failed, RunState::Completed] {
        let finish = ledger.finish(&old, state, None).await.unwrap_err();
        assert_eq!(finish.kind(), Kind::Fenced, "{finish}");
    }
    assert_eq!(record(&*ledger, &old.run).await.state, RunState::Running);
    ledger.heartbeat(&new, LEASE).await.unwrap();
    ledger.finish(&new, RunState::Completed, None).await.unwrap();
}

/// The end of a run is kept with its reason, and ends the claim.
pub async fn a_run_ends_once(target: &Target) {
    let ledger = target.ledger();
    let ends = [
        (RunState::Stopped, None),
        (RunState::Failed, Some("it 'broke'\n\\N")),
        (RunState::Completed, None),
    ];
    for (state, message) in ends {
        let claim = begin(&*ledger, "job", state.as_str()).await;
        ledger.finish(&claim, state, message).await.unwrap();
        let found = record(&*ledger, &claim.run).await;
        assert_eq!((found.state, found.message.as_deref()), (state, message));
        assert!(found.ended_at.is_some());
        assert!(!found.leased, "only a running run has a lease");
        assert!(ledger.heartbeat(&claim, LEASE).await.is_err());
        for next in RunState::ALL {
            assert!(ledger.finish(&claim, next, None).await.is_err(), "{next:?} after {state:?}");
        }
        assert_eq!(record(&*ledger, &claim.run).await.state, state);
    }
}

/// Running and abandoned are no ends.
pub async fn a_run_ends_in_no_other_state(target: &Target) {
    let ledger = target.ledger();
    let claim = begin(&*ledger, "job", "").await;
    for state in [RunState::Running, RunState::Abandoned] {
        let fault = ledger.finish(&claim, state, None).await.unwrap_err();
        assert_eq!(fault.kind(), Kind::Bug, "{fault}");
    }
    assert_eq!(record(&*ledger, &claim.run).await.state, RunState::Running);
}

/// What stopped or failed goes on at the next epoch, as if nothing had been.
pub async fn stopped_and_failed_runs_are_claimed_again(target: &Target) {
    let ledger = target.ledger();
    let mut claim = begin(&*ledger, "job", "").await;
    for (state, epoch) in [(RunState::Stopped, 2), (RunState::Failed, 3)] {
        ledger.finish(&claim, state, Some("why")).await.unwrap();
        let next = ledger.claim(&claim.run, claim.epoch, &owner(9), LEASE, false).await;
        claim = next.unwrap().expect("an open run");
        assert_eq!(claim.epoch, epoch);
        let found = record(&*ledger, &claim.run).await;
        assert_eq!((found.state, found.message, found.ended_at), (RunState::Running, None, None));
        assert_eq!(found.owner, owner(9));
    }
}

/// What is complete or given up can neither be claimed nor given up.
pub async fn completed_and_abandoned_runs_are_closed(target: &Target) {
    let ledger = target.ledger();
    let completed = begin(&*ledger, "job", "a").await;
    ledger.finish(&completed, RunState::Completed, None).await.unwrap();
    let abandoned = begin(&*ledger, "job", "b").await;
    assert!(ledger.abandon(&abandoned.run, 1).await.unwrap());
    for (claim, state) in [(completed, RunState::Completed), (abandoned, RunState::Abandoned)] {
        for epoch in 1..=3 {
            let again = ledger.claim(&claim.run, epoch, &owner(2), LEASE, true).await.unwrap();
            assert_eq!(again, None, "{state:?}");
            assert!(!ledger.abandon(&claim.run, epoch).await.unwrap(), "{state:?}");
        }
        assert!(ledger.heartbeat(&claim, LEASE).await.is_err());
        assert_eq!(record(&*ledger, &claim.run).await.state, state);
    }
}

/// An owner who sleeps while its run is given up commits nothing when it wakes.
pub async fn abandoning_fences_the_lanes(target: &Target) {
    let ledger = target.ledger();
    let claim = begin(&*ledger, "job", "").await;
    let writes = [insert_notes()];
    let sink = target.sink();
    let (mut lane, _) = sink.open(&key(&claim.run, 0, 1), &writes, &notes::items()).await.unwrap();
    assert!(ledger.abandon(&claim.run, 1).await.unwrap());
    lane.submit(std::sync::Arc::new(unit(0, &[Fate::Write], &writes))).await;
    match lane.settle().await {
        kiln_core::Settled::Refused(refusal) => assert_eq!(refusal.fault.kind(), Kind::Fenced),
        other => panic!("{other:?}"),
    }
    assert!(target.rows("notes").await.is_empty());
    let reopened = sink.open(&key(&claim.run, 0, 1), &writes, &notes::items()).await;
    assert_eq!(reopened.err().expect("a fence").kind(), Kind::Fenced);
    assert_eq!(ledger.heartbeat(&claim, LEASE).await.unwrap_err().kind(), Kind::Fenced);
    begin(&*ledger, "job", "").await;
}

/// Who saw another epoch gives nothing up.
pub async fn abandoning_needs_the_epoch(target: &Target) {
    let ledger = target.ledger();
    let run = begin(&*ledger, "job", "").await.run;
    for epoch in [0, 2] {
        assert!(!ledger.abandon(&run, epoch).await.unwrap());
    }
    assert!(!ledger.abandon(&RunId("nothing".to_owned()), 1).await.unwrap());
    assert_eq!(record(&*ledger, &run).await.state, RunState::Running);
}

/// Newest first, of one job or all, no more than asked for.
pub async fn runs_are_listed_newest_first(target: &Target) {
    let ledger = target.ledger();
    let mut made = Vec::new();
    for turn in 0..6 {
        let job = ["even", "odd"][turn % 2];
        made.push((begin(&*ledger, job, &turn.to_string()).await.run, job));
    }
    made.reverse();
    let names = |runs: Vec<RunRecord>| runs.into_iter().map(|r| r.start.id).collect::<Vec<_>>();
    let all: Vec<RunId> = made.iter().map(|(run, _)| run.clone()).collect();
    assert_eq!(names(ledger.runs(None, 100).await.unwrap()), all);
    assert_eq!(names(ledger.runs(None, 2).await.unwrap()), all[..2]);
    let odd: Vec<RunId> =
        made.iter().filter(|(_, job)| *job == "odd").map(|(run, _)| run.clone()).collect();
    assert_eq!(names(ledger.runs(Some("odd"), 100).await.unwrap()), odd);
    assert!(ledger.runs(Some("nothing"), 100).await.unwrap().is_empty());
}

/// An exact name wins; a beginning must be the only one; nothing is a pattern.
pub async fn a_run_is_found_by_its_name_or_a_beginning_of_it(target: &Target) {
    let ledger = target.ledger();
    for name in ["abc", "abcd", "abce", "x_y", "xzy"] {
        let run = NewRun { id: RunId(name.to_owned()), ..new_run("job", name) };
        ledger.create(&run, None, &owner(1), LEASE).await.unwrap().unwrap();
    }
    let cases = [
        ("abc", Some("abc")),
        ("abcd", Some("abcd")),
        ("ab", None),
        ("x_", Some("x_y")),
        ("x_y", Some("x_y")),
        ("xz", Some("xzy")),
        ("x", None),
        ("_", None),
        ("%", None),
        ("x_y%", None),
        ("ABC", None),
        ("*", None),
        ("abcdef", None),
    ];
    for (name, expected) in cases {
        let found = ledger.run(name).await.unwrap().map(|r| r.start.id.0);
        assert_eq!(found.as_deref(), expected, "{name}");
    }
}

/// What a run has counted is what its lanes have committed, over all epochs.
pub async fn counts_are_the_sum_of_the_marks(target: &Target) {
    let ledger = target.ledger();
    let claim = begin(&*ledger, "job", "").await;
    let writes = [insert_notes()];
    let fates = [Fate::Write, Fate::Filtered, Fate::Failed];
    for (lane, epoch, from) in [(0, 1, 0), (0, 2, 3), (1, 2, 0)] {
        let key = key(&claim.run, lane, epoch);
        let (mut open, _) = target.sink().open(&key, &writes, &notes::items()).await.unwrap();
        let fates = if lane == 0 { &fates[..] } else { &[Fate::Filtered; 2] };
        open.submit(std::sync::Arc::new(unit(from, fates, &writes))).await;
        assert!(matches!(open.settle().await, kiln_core::Settled::Committed(_)));
    }
    let expected = Counts { read: 8, processed: 2, filtered: 4, duplicate: 0, failed: 2 };
    assert_eq!(record(&*ledger, &claim.run).await.counts, expected);
    assert_eq!(ledger.newest("job", "").await.unwrap().unwrap().counts, expected);
    assert_eq!(ledger.runs(None, 1).await.unwrap()[0].counts, expected);
    assert_eq!(ledger.dead_letter_count(&claim.run).await.unwrap(), 2);
}

/// Questions about a run that is not there have empty answers.
pub async fn nothing_is_known_of_an_unknown_run(target: &Target) {
    let ledger = target.ledger();
    let nobody = RunId("nothing".to_owned());
    assert_eq!(ledger.run("nothing").await.unwrap(), None);
    assert!(ledger.marks(&nobody, notes::STEP).await.unwrap().is_empty());
    assert!(ledger.steps(&nobody).await.unwrap().is_empty());
    assert!(ledger.dead_letters(&nobody, notes::STEP, 0, 10).await.unwrap().is_empty());
    assert_eq!(ledger.dead_letter_count(&nobody).await.unwrap(), 0);
    let claim = Claim { run: nobody, epoch: 1 };
    assert_eq!(ledger.heartbeat(&claim, LEASE).await.unwrap_err().kind(), Kind::Fenced);
}
