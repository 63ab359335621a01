//! What every sink and its lanes owe.

use std::sync::Arc;

use kiln_core::{
    Checkpoint, Counts, DeadLetter, Fault, Kind, Lane, LaneKey, Mark, Refusal, RunId, Settled,
    Span, Unit, Write,
};

use super::ledger::begin;
use crate::TestTarget;
use crate::notes::{
    self, Fate, add_to_sums, checkpoint, insert_labels, insert_notes, key, notes, sorted, unit,
};

pub(super) type Target = dyn TestTarget;

const GOOD: [Fate; 3] = [Fate::Write; 3];

/// One of each kind, and one that is written.
const MIXED: [Fate; 5] = [Fate::Write, Fate::Filtered, Fate::Failed, Fate::Write, Fate::Filtered];

pub(super) async fn open(
    target: &Target,
    key: &LaneKey,
    writes: &[Write],
) -> (Box<dyn Lane>, Mark) {
    target.sink().open(key, writes, &notes::items()).await.expect("an open lane")
}

/// A run, and its first lane for `notes`.
pub(super) async fn lane(target: &Target) -> (RunId, Box<dyn Lane>) {
    lane_for(target, &[insert_notes()]).await
}

async fn lane_for(target: &Target, writes: &[Write]) -> (RunId, Box<dyn Lane>) {
    let claim = begin(&*target.ledger(), "job", "").await;
    let (lane, _) = open(target, &key(&claim.run, 0, claim.epoch), writes).await;
    (claim.run, lane)
}

pub(super) fn note_unit(from: u64, fates: &[Fate]) -> Unit {
    unit(from, fates, &[insert_notes()])
}

async fn answer(lane: &mut Box<dyn Lane>, unit: &Unit) -> Settled {
    lane.submit(Arc::new(unit.clone())).await;
    lane.settle().await
}

pub(super) async fn commit(lane: &mut Box<dyn Lane>, unit: &Unit) -> Counts {
    match answer(lane, unit).await {
        Settled::Committed(counts) => counts,
        other => panic!("{:?} was not committed: {other:?}", unit.span),
    }
}

pub(super) async fn refuse(lane: &mut Box<dyn Lane>, unit: &Unit) -> Refusal {
    match answer(lane, unit).await {
        Settled::Refused(refusal) => refusal,
        other => panic!("{:?} was not refused: {other:?}", unit.span),
    }
}

async fn mark(target: &Target, run: &RunId) -> Mark {
    let marks = target.ledger().marks(run, notes::STEP).await.expect("marks");
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert_eq!(marks[0].0, 0);
    marks[0].1.clone()
}

async fn letters(target: &Target, run: &RunId) -> Vec<DeadLetter> {
    target.ledger().dead_letters(run, notes::STEP, 0, 1000).await.expect("dead letters")
}

async fn assert_notes(target: &Target, ordinals: impl IntoIterator<Item = u64>) {
    assert_eq!(sorted(target.rows("notes").await), notes(ordinals));
}

/// Takes bad items out by halving, as the engine does where nothing is named.
pub(super) async fn isolate(lane: &mut Box<dyn Lane>, unit: Unit) {
    let mut queue = vec![unit];
    while let Some(unit) = queue.pop() {
        match answer(lane, &unit).await {
            Settled::Committed(_) => {}
            Settled::Refused(refusal) => {
                assert_eq!(refusal.fault.kind(), Kind::Item, "{:?}", refusal.fault);
                if let [only] = unit.items[..] {
                    queue.push(unit.reject(&[notes::failure(only)]).unwrap());
                } else {
                    let (a, b) = unit.split(unit.items[unit.items.len() / 2 - 1]);
                    queue.extend([b, a]);
                }
            }
            Settled::Unknown(fault) => panic!("{:?}: {fault:?}", unit.span),
        }
    }
}

/// A lane that was never opened has done nothing.
pub async fn a_new_lane_is_at_the_start(target: &Target) {
    let claim = begin(&*target.ledger(), "job", "").await;
    let (_, mark) = open(target, &key(&claim.run, 0, 1), &[insert_notes()]).await;
    assert_eq!(mark, Mark::default());
}

/// Rows, dead letters, counts and mark are there together.
pub async fn a_unit_commits_with_its_mark_counts_and_dead_letters(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let counts = commit(&mut lane, &note_unit(0, &MIXED)).await;
    let expected = Counts { read: 5, processed: 2, filtered: 2, duplicate: 0, failed: 1 };
    assert_eq!(counts, expected);
    assert_notes(target, [1, 4]).await;
    let expected = Mark { done: 5, checkpoint: checkpoint(5), counts };
    assert_eq!(mark(target, &run).await, expected);
    let letters = letters(target, &run).await;
    assert_eq!(letters.iter().map(|l| l.ordinal).collect::<Vec<_>>(), [3]);
    assert_eq!(target.ledger().dead_letter_count(&run).await.unwrap(), 1);
}

/// A chunk of which nothing is written still moves the mark.
pub async fn a_unit_without_rows_moves_the_mark(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let counts = commit(&mut lane, &note_unit(0, &[Fate::Filtered, Fate::Failed])).await;
    assert_eq!(counts, Counts { read: 2, filtered: 1, failed: 1, ..Counts::default() });
    assert_eq!(mark(target, &run).await.done, 2);
    assert_notes(target, []).await;
}

/// A state can be committed before any item is read.
pub async fn a_state_alone_is_kept(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let state = Some(Arc::from(b"begin".as_slice()));
    let end = Checkpoint { state, ..Checkpoint::default() };
    let unit = Unit { end: end.clone(), ..note_unit(0, &[]) };
    assert_eq!(commit(&mut lane, &unit).await, Counts::default());
    assert_eq!(mark(target, &run).await, Mark { done: 0, checkpoint: end, ..Mark::default() });
    commit(&mut lane, &note_unit(0, &MIXED)).await;
    assert_eq!(mark(target, &run).await.done, 5);
}

/// B9: a step's end is a state in a lane without writes: it is there with the marks
/// of the others, adds nothing to the counts, and who was taken over keeps none.
pub async fn a_step_keeps_its_end_once_and_beside_its_lanes(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let counts = commit(&mut lane, &note_unit(0, &MIXED)).await;
    let end_of = |epoch| key(&run, LaneKey::END, epoch);
    let (mut old, mark) = open(target, &end_of(1), &[]).await;
    assert_eq!(mark, Mark::default(), "an open lane alone is no end");
    let (mut new, _) = open(target, &end_of(2), &[]).await;
    let end = |state: &str| {
        let at = Checkpoint { state: Some(state.as_bytes().into()), ..Checkpoint::default() };
        Unit { end: at.clone(), start: at, span: Span { from: 0, to: 0 }, ..unit(0, &[], &[]) }
    };
    assert_eq!(refuse(&mut old, &end("late")).await.fault.kind(), Kind::Fenced);
    assert_eq!(commit(&mut new, &end("complete")).await, Counts::default());
    let marks = target.again().await.ledger().marks(&run, notes::STEP).await.unwrap();
    let [(0, first), (LaneKey::END, kept)] = &marks[..] else { panic!("{marks:?}") };
    assert_eq!((first.done, first.counts), (5, counts));
    assert_eq!(kept.checkpoint.state.as_deref(), Some("complete".as_bytes()));
    assert_eq!(open(target, &end_of(2), &[]).await.1, *kept);
    assert_eq!(target.ledger().run(&run.0).await.unwrap().unwrap().counts, counts);
    assert_notes(target, [1, 4]).await;
}

/// Counts add up over units.
pub async fn units_follow_each_other(target: &Target) {
    let (run, mut lane) = lane(target).await;
    for turn in 0..4 {
        commit(&mut lane, &note_unit(turn * 5, &MIXED)).await;
    }
    let counts = Counts { read: 20, processed: 8, filtered: 8, duplicate: 0, failed: 4 };
    let expected = Mark { done: 20, checkpoint: checkpoint(20), counts };
    assert_eq!(mark(target, &run).await, expected);
    assert_notes(target, [1, 4, 6, 9, 11, 14, 16, 19]).await;
}

/// All that a dead letter holds is kept to the letter, and it has a time.
pub async fn dead_letters_come_back_as_they_were(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let mut unit = note_unit(0, &[Fate::Failed; 3]);
    unit.dead_letters[0].constraint = Some("a \"constraint\"".to_owned());
    unit.dead_letters[0].column = Some("a column".to_owned());
    unit.dead_letters[0].tries = 7;
    unit.dead_letters[1].code = None;
    unit.dead_letters[1].origin.line = None;
    unit.dead_letters[1].origin.offset = None;
    unit.dead_letters[1].origin.key = Some("{\"id\": 1}".to_owned());
    unit.dead_letters[2].origin.raw = String::new();
    commit(&mut lane, &unit).await;
    let mut kept = letters(target, &run).await;
    for letter in &mut kept {
        assert!(letter.at.take().is_some_and(|at| !at.is_empty()), "{letter:?} has no time");
    }
    assert_eq!(kept, unit.dead_letters);
}

/// Page by page, in the order of their items.
pub async fn dead_letters_are_read_page_by_page(target: &Target) {
    let (run, mut lane) = lane(target).await;
    commit(&mut lane, &note_unit(0, &[Fate::Failed; 4])).await;
    commit(&mut lane, &note_unit(4, &[Fate::Write, Fate::Failed, Fate::Failed])).await;
    let ledger = target.ledger();
    let (mut after, mut pages) = (0, Vec::new());
    loop {
        let page = ledger.dead_letters(&run, notes::STEP, after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.ordinal;
        pages.push(page.iter().map(|l| l.ordinal).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![1, 2, 3, 4], vec![6, 7]]);
    assert!(ledger.dead_letters(&run, "another", 0, 4).await.unwrap().is_empty());
}

/// B18: of a refused unit there is nothing, and the next one commits.
pub async fn a_refused_unit_leaves_nothing_and_the_lane_goes_on(target: &Target) {
    let (run, mut lane) = lane(target).await;
    commit(&mut lane, &note_unit(0, &GOOD)).await;
    let bad = [Fate::Write, Fate::Failed, Fate::Refused, Fate::Write, Fate::Filtered];
    let refusal = refuse(&mut lane, &note_unit(3, &bad)).await;
    assert_eq!(refusal.fault.kind(), Kind::Item, "{:?}", refusal.fault);
    assert!(!refusal.fault.is_transient());
    assert_notes(target, 1..=3).await;
    assert_eq!(mark(target, &run).await.done, 3);
    assert_eq!(mark(target, &run).await.counts.read, 3);
    assert!(letters(target, &run).await.is_empty());

    let counts = commit(&mut lane, &note_unit(3, &MIXED)).await;
    assert_eq!(counts.read, 5);
    assert_notes(target, [1, 2, 3, 4, 7]).await;
}

/// The writes of a unit are one transaction.
pub async fn a_refused_second_write_takes_the_first_with_it(target: &Target) {
    let writes = [insert_notes(), insert_labels()];
    let (run, mut lane) = lane_for(target, &writes).await;
    let bad = [Fate::Write, Fate::RefusedLabel, Fate::Write];
    let refusal = refuse(&mut lane, &unit(0, &bad, &writes)).await;
    assert_eq!(refusal.fault.kind(), Kind::Item, "{:?}", refusal.fault);
    assert!(refusal.ordinal.is_none_or(|o| o == 2), "{:?}", refusal.ordinal);
    assert_notes(target, []).await;
    assert!(target.rows("labels").await.is_empty());
    commit(&mut lane, &unit(0, &GOOD, &writes)).await;
    assert_notes(target, 1..=3).await;
    assert_eq!(target.rows("labels").await.len(), 3);
    assert_eq!(mark(target, &run).await.done, 3);
}

/// B19: by splitting alone each bad item becomes one dead letter.
pub async fn a_refused_unit_can_be_split(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let mut fates = [Fate::Write; 40];
    for bad in [0, 1, 17, 30, 39] {
        fates[bad] = Fate::Refused;
    }
    fates[5] = Fate::Failed;
    fates[20] = Fate::Filtered;
    isolate(&mut lane, note_unit(0, &fates)).await;
    let gone = [1, 2, 6, 18, 21, 31, 40];
    assert_notes(target, (1..=40).filter(|o| !gone.contains(o))).await;
    let dead: Vec<u64> = letters(target, &run).await.iter().map(|l| l.ordinal).collect();
    assert_eq!(dead, [1, 2, 6, 18, 31, 40]);
    let counts = Counts { read: 40, processed: 33, filtered: 1, duplicate: 0, failed: 6 };
    let expected = Mark { done: 40, checkpoint: checkpoint(40), counts };
    assert_eq!(mark(target, &run).await, expected);
}

/// Where the target names an item, it is the bad one, wherever it stands.
pub async fn a_named_item_is_the_bad_one(target: &Target) {
    let (_, mut lane) = lane(target).await;
    for bad in [0, 1, 24, 48, 49] {
        let mut fates = [Fate::Write; 50];
        fates[bad] = Fate::Refused;
        let refusal = refuse(&mut lane, &note_unit(0, &fates)).await;
        let named = refusal.ordinal;
        assert!(named.is_none_or(|o| o == bad as u64 + 1), "{named:?} for {}", bad + 1);
    }
    assert_notes(target, []).await;
}

/// The first part of a split unit commits with the place where its chunk began.
pub async fn a_unit_in_the_middle_of_a_chunk_keeps_where_it_began(target: &Target) {
    let (run, mut lane) = lane(target).await;
    commit(&mut lane, &note_unit(0, &GOOD)).await;
    let (a, b) = note_unit(3, &MIXED).split(6);
    commit(&mut lane, &a).await;
    let middle = mark(target, &run).await;
    assert_eq!((middle.done, middle.checkpoint), (6, checkpoint(3)));
    commit(&mut lane, &b).await;
    let end = mark(target, &run).await;
    assert_eq!((end.done, end.checkpoint), (8, checkpoint(8)));
}

/// A gap before a unit refuses it: nothing may be left out.
pub async fn a_unit_ahead_of_the_mark_does_not_commit(target: &Target) {
    let (run, mut lane) = lane(target).await;
    commit(&mut lane, &note_unit(0, &GOOD)).await;
    let refusal = refuse(&mut lane, &note_unit(4, &GOOD)).await;
    assert_ne!(refusal.fault.kind(), Kind::Item, "no item is at fault for a gap");
    assert_notes(target, 1..=3).await;
    assert_eq!(mark(target, &run).await.done, 3);
    commit(&mut lane, &note_unit(3, &GOOD)).await;
}

/// A unit that is committed already is refused: nothing may be doubled.
pub async fn a_unit_is_never_committed_twice(target: &Target) {
    let writes = [insert_labels()];
    let (run, mut lane) = lane_for(target, &writes).await;
    commit(&mut lane, &unit(0, &GOOD, &writes)).await;
    let refusal = refuse(&mut lane, &unit(0, &GOOD, &writes)).await;
    assert_ne!(refusal.fault.kind(), Kind::Item, "{:?}", refusal.fault);
    assert_eq!(target.rows("labels").await.len(), 3);
    assert_eq!(mark(target, &run).await.counts.read, 3);
}

/// What is in flight behind a refused unit is refused with it.
pub async fn units_behind_a_refused_one_do_not_commit(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let window = lane.window();
    assert!(window >= 1, "a window of nothing");
    lane.submit(Arc::new(note_unit(0, &[Fate::Refused]))).await;
    for turn in 1..window as u64 {
        lane.submit(Arc::new(note_unit(turn, &[Fate::Write]))).await;
    }
    for turn in 0..window {
        let answer = lane.settle().await;
        assert!(matches!(answer, Settled::Refused(_)), "unit {turn}: {answer:?}");
    }
    assert_notes(target, []).await;
    assert_eq!(mark(target, &run).await.done, 0);
    for turn in 0..window as u64 {
        lane.submit(Arc::new(note_unit(turn, &[Fate::Write]))).await;
    }
    for _ in 0..window {
        assert!(matches!(lane.settle().await, Settled::Committed(_)));
    }
    assert_notes(target, 1..=window as u64).await;
}

/// B35: from the moment that a lane is opened at a higher epoch, its former
/// holder commits nothing.
pub async fn a_taken_lane_commits_nothing_more(target: &Target) {
    let (run, mut old) = lane(target).await;
    commit(&mut old, &note_unit(0, &GOOD)).await;
    let other = target.again().await;
    let (mut new, mark_then) = open(&*other, &key(&run, 0, 2), &[insert_notes()]).await;
    assert_eq!(mark_then.done, 3);
    let refusal = refuse(&mut old, &note_unit(3, &GOOD)).await;
    assert_eq!(refusal.fault.kind(), Kind::Fenced, "{:?}", refusal.fault);
    assert!(!refusal.fault.is_transient());
    assert_notes(target, 1..=3).await;
    commit(&mut new, &note_unit(3, &GOOD)).await;
    assert_notes(target, 1..=6).await;
    assert_eq!(mark(target, &run).await.done, 6);
}

/// The same where its rows and dead letters are in the target already, from the
/// new holder: it is fenced, and no item is at fault.
pub async fn a_taken_lane_is_fenced_before_its_items_are_judged(target: &Target) {
    let (run, mut old) = lane(target).await;
    let other = target.again().await;
    let (mut new, _) = open(&*other, &key(&run, 0, 2), &[insert_notes()]).await;
    for (from, fates) in [(0, &MIXED[..]), (5, &[Fate::Failed]), (6, &[Fate::Write])] {
        commit(&mut new, &note_unit(from, fates)).await;
        let refusal = refuse(&mut old, &note_unit(from, fates)).await;
        assert_eq!(refusal.fault.kind(), Kind::Fenced, "{:?}", refusal.fault);
    }
}

/// Who comes with a lower epoch does not get the lane.
pub async fn an_older_epoch_can_not_open(target: &Target) {
    let (run, _) = lane(target).await;
    open(target, &key(&run, 0, 3), &[insert_notes()]).await;
    let older = target.sink().open(&key(&run, 0, 2), &[insert_notes()], &notes::items()).await;
    assert_eq!(older.err().expect("a fence").kind(), Kind::Fenced);
}

/// B35: a runner that was taken over, or whose run was given up, opens no lane,
/// not even one that nobody has opened yet.
pub async fn a_run_taken_over_gets_no_new_lane(target: &Target) {
    let (ledger, writes) = (target.ledger(), [insert_notes()]);
    let old = begin(&*ledger, "job", "").await;
    let lease = std::time::Duration::from_secs(60);
    let new = ledger.claim(&old.run, old.epoch, &kiln_core::Owner::default(), lease, true).await;
    let new = new.expect("a claim").expect("nobody was faster");
    for lane in [0, 1] {
        assert_eq!(late(target, &key(&old.run, lane, old.epoch)).await, Kind::Fenced);
    }
    open(target, &key(&new.run, 1, new.epoch), &writes).await;
    assert!(ledger.abandon(&new.run, new.epoch).await.expect("to abandon"));
    for lane in [1, 2] {
        assert_eq!(late(target, &key(&new.run, lane, new.epoch)).await, Kind::Fenced);
    }
}

/// Why a lane can't be opened.
async fn late(target: &Target, key: &LaneKey) -> Kind {
    let opened = target.sink().open(key, &[insert_notes()], &notes::items()).await;
    opened.err().expect("a fence").kind()
}

/// Opened again with the same key, the lane is fresh and its mark true.
pub async fn an_opened_lane_tells_the_true_mark(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let counts = commit(&mut lane, &note_unit(0, &MIXED)).await;
    let (mut again, mark) = open(target, &key(&run, 0, 1), &[insert_notes()]).await;
    assert_eq!(mark, Mark { done: 5, checkpoint: checkpoint(5), counts });
    commit(&mut again, &note_unit(5, &GOOD)).await;
    drop((lane, again));
    let other = target.again().await;
    let (_, mark) = open(&*other, &key(&run, 0, 2), &[insert_notes()]).await;
    assert_eq!((mark.done, mark.counts.read), (8, 8));
}

/// Marks belong to one lane of one step of one run.
pub async fn lanes_and_steps_and_runs_have_marks_of_their_own(target: &Target) {
    let ledger = target.ledger();
    let (run, mut first) = lane(target).await;
    commit(&mut first, &note_unit(0, &GOOD)).await;
    let other_run = begin(&*ledger, "another job", "").await.run;
    let other_step = LaneKey { step: "another".to_owned(), ..key(&run, 0, 1) };
    for key in [key(&run, 1, 1), other_step, key(&other_run, 0, 1)] {
        let (_, mark) = open(target, &key, &[insert_notes()]).await;
        assert_eq!(mark, Mark::default(), "{key:?}");
    }
    let marks = ledger.marks(&run, notes::STEP).await.unwrap();
    assert_eq!(marks.iter().map(|(lane, m)| (*lane, m.done)).collect::<Vec<_>>(), [(0, 3), (1, 0)]);
    let mut steps = ledger.steps(&run).await.unwrap();
    steps.sort();
    assert_eq!(steps, ["another", notes::STEP]);
    assert_eq!(ledger.dead_letter_count(&other_run).await.unwrap(), 0);
}

/// No unit, no answer.
pub async fn nothing_submitted_is_unknown(target: &Target) {
    let (_, mut lane) = lane(target).await;
    match lane.settle().await {
        Settled::Unknown(fault) => assert_eq!(fault.kind(), Kind::Bug),
        other => panic!("{other:?}"),
    }
}

/// Who diagnoses names all bad items, and only those, and has written nothing.
pub async fn diagnosis_names_all_bad_items_and_changes_nothing(target: &Target) {
    let writes = [insert_notes(), insert_labels()];
    let (run, mut lane) = lane_for(target, &writes).await;
    commit(&mut lane, &unit(0, &GOOD, &writes)).await;
    let mut fates = [Fate::Write; 30];
    fates[0] = Fate::Refused;
    fates[13] = Fate::RefusedLabel;
    fates[14] = Fate::Refused;
    fates[29] = Fate::RefusedLabel;
    let bad = unit(3, &fates, &writes);
    refuse(&mut lane, &bad).await;
    if let Some(named) = lane.diagnose(&bad).await.unwrap() {
        assert!(named.iter().all(|r| r.fault.kind() == Kind::Item), "{named:?}");
        let mut ordinals: Vec<u64> = named.iter().map(|r| r.ordinal).collect();
        ordinals.sort_unstable();
        assert_eq!(ordinals, [4, 17, 18, 33]);
    }
    assert_notes(target, 1..=3).await;
    assert_eq!(target.rows("labels").await.len(), 3);
    assert_eq!(mark(target, &run).await.done, 3);
    commit(&mut lane, &unit(3, &GOOD, &writes)).await;
}

/// A check of good writes passes, and looks only.
pub async fn checks_write_nothing(target: &Target) {
    let checks = target.sink().check(&[insert_notes(), insert_labels()], &notes::items()).await;
    let failed: Vec<&Fault> = checks.iter().filter_map(|c| c.result.as_ref().err()).collect();
    assert!(!checks.is_empty() && failed.is_empty(), "{failed:?}");
    assert_notes(target, []).await;
    assert!(target.ledger().runs(None, 10).await.unwrap().is_empty());
}

async fn assert_sums(target: &Target, ordinals: impl IntoIterator<Item = u64> + Clone) {
    assert_eq!(sorted(target.rows("sums").await), notes::sums(ordinals));
}

/// B38: what is added is added once and exactly, whether the row is new, in an
/// earlier unit, or several times in one.
pub async fn sums_are_exact_over_units_and_within_one(target: &Target) {
    let writes = [insert_notes(), add_to_sums()];
    let (_, mut lane) = lane_for(target, &writes).await;
    commit(&mut lane, &unit(0, &[Fate::Write], &writes)).await;
    assert_sums(target, 1..=1).await;
    commit(&mut lane, &unit(1, &[Fate::Write; 30], &writes)).await;
    assert_sums(target, 1..=31).await;
    commit(&mut lane, &unit(31, &[Fate::Filtered, Fate::Write], &writes)).await;
    assert_sums(target, (1..=33).filter(|o| *o != 32)).await;
}

/// A sum is part of its unit.
pub async fn a_refused_unit_adds_nothing(target: &Target) {
    let writes = [add_to_sums(), insert_notes()];
    let (_, mut lane) = lane_for(target, &writes).await;
    commit(&mut lane, &unit(0, &GOOD, &writes)).await;
    refuse(&mut lane, &unit(3, &[Fate::Write, Fate::Refused], &writes)).await;
    assert_sums(target, 1..=3).await;
}

/// The parts add what the whole would have, without the items that fell.
pub async fn split_units_add_the_same(target: &Target) {
    let writes = [insert_notes(), add_to_sums()];
    let (run, mut lane) = lane_for(target, &writes).await;
    let mut fates = [Fate::Write; 20];
    for bad in [0, 7, 8, 19] {
        fates[bad] = Fate::Refused;
    }
    isolate(&mut lane, unit(0, &fates, &writes)).await;
    let good = (1..=20).filter(|o| ![1, 8, 9, 20].contains(o));
    assert_notes(target, good.clone()).await;
    assert_sums(target, good).await;
    assert_eq!(mark(target, &run).await.done, 20);
    let span = Span { from: 0, to: 20 };
    assert!(letters(target, &run).await.iter().all(|l| span.contains(l.ordinal)));
}
