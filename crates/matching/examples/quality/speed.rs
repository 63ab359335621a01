//! Items a second.

use std::time::Instant;

use kiln_matching::{AT_LEAST, Compare, Index, MARGIN, decide};

use crate::random::Random;

/// Prints a line for each size of the catalog.
#[allow(clippy::print_stdout)]
pub(crate) fn report() {
    println!(
        "| rows | memory a row, counted | in truth | rows indexed a second | items a second | found |"
    );
    println!("|---|---|---|---|---|---|");
    for rows in [1_000usize, 100_000, 1_000_000] {
        let mut names = Names::new(rows);
        let catalog: Vec<String> = (0..rows).map(|_| names.next()).collect();
        let before = resident();
        let begin = Instant::now();
        let mut index = Index::new([(Compare::Text, 1.0)]);
        for name in &catalog {
            index.push(&[Some(name.as_str())]);
        }
        let indexed = rows as f64 / begin.elapsed().as_secs_f64();
        let taken = resident().zip(before).map(|(now, before)| now.saturating_sub(before) / rows);
        let taken = taken.map_or_else(|| "?".to_owned(), |bytes| format!("{bytes} B"));
        let items: Vec<(usize, String)> = (0..2_000)
            .map(|_| {
                let row = names.random.below(rows);
                (row, names.changed(&catalog[row]))
            })
            .collect();
        let begin = Instant::now();
        let mut found = 0;
        for (row, item) in &items {
            let near = index.near(&[Some(item.as_str())], AT_LEAST);
            if let kiln_matching::Decision::Matched(n) = decide(&near, MARGIN, |_, _| false) {
                found += usize::from(n.row as usize == *row);
            }
        }
        let rate = items.len() as f64 / begin.elapsed().as_secs_f64();
        let bytes = index.bytes() / rows;
        let found = found as f64 / items.len() as f64 * 100.0;
        println!("| {rows} | {bytes} B | {taken} | {indexed:.0} | {rate:.0} | {found:.1}% |");
    }
}

/// The memory of the process in bytes, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

/// Names of products: a maker, words as frequent as in a language (Zipf), and a
/// code.
struct Names {
    random: Random,
    words: Vec<String>,
}

impl Names {
    fn new(rows: usize) -> Self {
        let mut random = Random(7);
        let consonants = b"bcdfghjklmnprstvwxyz";
        let mut word = |_| {
            let mut word = String::new();
            for _ in 0..2 + random.below(3) {
                word.push(char::from(consonants[random.below(consonants.len())]));
                word.push(char::from(b"aeiou"[random.below(5)]));
                if random.percent(30) {
                    word.push(char::from(b"nrslt"[random.below(5)]));
                }
            }
            word
        };
        let words = (0..2_000 + rows / 20).map(&mut word).collect();
        Self { random, words }
    }

    fn next(&mut self) -> String {
        let mut name: Vec<String> = (0..3 + self.random.below(4)).map(|_| self.word()).collect();
        let letter = |random: &mut Random| char::from(b'A' + random.below(26) as u8);
        let code = format!(
            "{}{}-{}",
            letter(&mut self.random),
            letter(&mut self.random),
            self.random.below(10_000)
        );
        name.push(code);
        name.join(" ")
    }

    /// Word n about n times rarer than the first.
    fn word(&mut self) -> String {
        let uniform = self.random.below(1 << 20) as f64 / f64::from(1 << 20);
        let rank = (self.words.len() as f64).powf(uniform) as usize - 1;
        self.words[rank.min(self.words.len() - 1)].clone()
    }

    /// A word less, and a slip in another.
    fn changed(&mut self, name: &str) -> String {
        let mut words: Vec<String> = name.split(' ').map(str::to_owned).collect();
        words.remove(self.random.below(words.len() - 1));
        let at = self.random.below(words.len() - 1);
        let cut = self.random.below(words[at].len());
        words[at].remove(cut);
        words.join(" ")
    }
}
