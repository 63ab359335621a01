//! Names as people get them wrong.

use std::collections::BTreeSet;

use crate::judge::Task;
use crate::random::Random;

/// Of 100 names so many are in the catalog; the others must not be found.
const KEPT: usize = 70;

/// A task from a list of names, one a line.
pub(crate) fn task(names: &str) -> Task {
    let mut random = Random(42);
    let names: BTreeSet<&str> = names.lines().map(str::trim).filter(|n| !n.is_empty()).collect();
    let mut task = Task::default();
    for name in names {
        let mut right = BTreeSet::new();
        if random.percent(KEPT) {
            right.insert(task.catalog.len() as u32);
            task.catalog.push(vec![Some(name.to_owned())]);
        }
        task.items.push((vec![Some(corrupted(name, &mut random))], right));
    }
    task
}

/// The name with one to three things wrong.
fn corrupted(name: &str, random: &mut Random) -> String {
    let mut words: Vec<String> = name.split_whitespace().map(str::to_owned).collect();
    for _ in 0..1 + random.below(3) {
        let at = random.below(words.len());
        match random.below(6) {
            0 | 1 => words[at] = slipped(&words[at], random),
            2 if at > 0 => words.swap(at, at - 1),
            3 if words[at].chars().count() > 5 => {
                words[at] = words[at].chars().take(4).chain(['.']).collect();
            }
            4 if words.len() > 2 => {
                words.remove(at);
            }
            5 => words[at] = words[at].to_uppercase().replace(['-', '\'', '.'], ""),
            _ => {}
        }
    }
    words.join(" ")
}

/// One letter wrong, missing, doubled or swapped; digits stay.
fn slipped(word: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = random.below(letters.len());
    if !letters[at].is_alphabetic() {
        return word.to_owned();
    }
    match random.below(4) {
        0 => letters[at] = char::from(b'a' + random.below(26) as u8),
        1 => drop(letters.remove(at)),
        2 => letters.insert(at, letters[at]),
        _ => letters.swap(at, at.saturating_sub(1)),
    }
    letters.into_iter().collect()
}
