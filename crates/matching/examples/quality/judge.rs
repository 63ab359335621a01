//! Precision, recall and F1 of what is decided.

use std::collections::BTreeSet;

use kiln_matching::{Compare, Decision, Index, Near, decide};

use crate::plain;

/// The settings if nothing else is said.
const DEFAULTS: (f64, f64) = (kiln_matching::AT_LEAST, kiln_matching::MARGIN);

/// Items to be looked up in a catalog, and what is right.
#[derive(Debug, Default)]
pub(crate) struct Task {
    /// Values of each row: the name, then others.
    pub(crate) catalog: Vec<Vec<Option<String>>>,
    /// Values of each item, and the rows it is.
    pub(crate) items: Vec<(Vec<Option<String>>, BTreeSet<u32>)>,
    /// How to compare the columns behind the name, and their weights.
    pub(crate) others: Vec<(Compare, f64)>,
}

/// What is near each item.
type Found = Vec<Vec<Near>>;

/// Prints the lines of a task.
#[allow(clippy::print_stdout)]
pub(crate) fn report(data: &str, task: &Task) {
    let line = |compared: &str, settings: &str, score: Score| {
        println!(
            "| {data} | {compared} | {settings} | {:.3} | {:.3} | **{:.3}** |",
            score.precision(),
            score.recall(),
            score.f1()
        );
    };
    let mut kinds = vec![("name", vec![(Compare::Text, 1.0)])];
    if !task.others.is_empty() {
        let all = std::iter::once((Compare::Text, 1.0)).chain(task.others.iter().copied());
        kinds.push(("name and others", all.collect()));
    }
    for (compared, columns) in kinds {
        let found = find(task, &columns);
        line(compared, "defaults", judge(task, &found, DEFAULTS.0, DEFAULTS.1));
        let (settings, score) = best(task, &found);
        line(compared, &settings, score);
    }
    for (name, alike) in plain::ALL {
        let (settings, score) = best(task, &plain::find(task, alike));
        line(&format!("plain {name}"), &settings, score);
    }
}

fn find(task: &Task, columns: &[(Compare, f64)]) -> Found {
    let mut index = Index::new(columns.iter().copied());
    let values =
        |row: &'_ [Option<String>]| -> Vec<Option<String>> { row[..columns.len()].to_vec() };
    for row in &task.catalog {
        let row = values(row);
        index.push(&row.iter().map(Option::as_deref).collect::<Vec<_>>());
    }
    let near = |(item, _): &(Vec<Option<String>>, _)| {
        let item = values(item);
        index.near(&item.iter().map(Option::as_deref).collect::<Vec<_>>(), 0.05)
    };
    task.items.iter().map(near).collect()
}

/// The settings with the highest F1.
fn best(task: &Task, found: &Found) -> (String, Score) {
    let mut best = (String::new(), Score::default());
    for margin in [0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15] {
        for hundredths in 5..100 {
            let at_least = f64::from(hundredths) / 100.0;
            let score = judge(task, found, at_least, margin);
            if score.f1() > best.1.f1() {
                best = (format!("at_least = {at_least}, margin = {margin}"), score);
            }
        }
    }
    best
}

fn judge(task: &Task, found: &Found, at_least: f64, margin: f64) -> Score {
    let mut score =
        Score { pairs: task.items.iter().map(|(_, right)| right.len()).sum(), ..Score::default() };
    for ((_, right), near) in task.items.iter().zip(found) {
        let near = &near[..near.partition_point(|n| n.score >= at_least)];
        match decide(near, margin, |_, _| false) {
            Decision::Matched(n) if right.contains(&n.row) => score.right += 1,
            Decision::Matched(_) => score.wrong += 1,
            _ => {}
        }
    }
    score
}

#[derive(Debug, Default, Clone, Copy)]
struct Score {
    right: usize,
    wrong: usize,
    pairs: usize,
}

impl Score {
    fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    fn recall(&self) -> f64 {
        self.right as f64 / self.pairs.max(1) as f64
    }

    fn f1(&self) -> f64 {
        let (p, r) = (self.precision(), self.recall());
        if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 }
    }
}
