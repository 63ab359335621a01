//! In which order the writes of a unit are done, and which of its items had
//! something written.

use std::collections::HashSet;

use kiln_core::{Duplicates, Mode, Rows, Write};

/// The order of a job's writes, by their place in its declaration.
#[derive(Debug)]
pub(crate) struct Order {
    /// Done for all items.
    pub(crate) first: Vec<usize>,
    /// Done for those of which something was written by then: increments beside
    /// rows that tell by themselves whether they are new.
    pub(crate) then: Vec<usize>,
    /// Whether a row can be passed over at all.
    passes: bool,
}

impl Order {
    pub(crate) fn of(writes: &[Write]) -> Self {
        let adds = |i: &usize| writes[*i].mode == Mode::Increment;
        let mut rows = writes.iter().filter(|w| w.mode != Mode::Increment).peekable();
        let ignores_all = rows.peek().is_some() && rows.all(|w| w.mode == Mode::Ignore);
        let (then, first) = (0..writes.len()).partition(|i| ignores_all && adds(i));
        Self { first, then, passes: writes.iter().any(passes) }
    }

    /// So many writes one after another, none of which passes a row over.
    pub(crate) fn as_declared(writes: usize) -> Self {
        Self { first: (0..writes).collect(), then: Vec::new(), passes: false }
    }
}

fn passes(write: &Write) -> bool {
    let keeps_first = write.mode.has_duplicates() && write.on_duplicate == Duplicates::First;
    write.mode == Mode::Ignore || keeps_first
}

/// The items of a unit of which something was written.
#[derive(Debug)]
pub(crate) struct Written(Option<HashSet<u64>>);

impl Written {
    pub(crate) fn new(order: &Order) -> Self {
        Self(order.passes.then(HashSet::new))
    }

    /// These rows were written, but those passed over, which rise.
    pub(crate) fn add(&mut self, rows: &Rows, passed: &[usize]) {
        let Some(items) = &mut self.0 else { return };
        let written = |(row, _): &(usize, &u64)| passed.binary_search(row).is_err();
        items.extend(rows.ordinals.iter().enumerate().filter(written).map(|(_, o)| *o));
    }

    /// Those of these items of which nothing was written.
    pub(crate) fn nothing_of(&self, items: &[u64]) -> Vec<u64> {
        match &self.0 {
            Some(written) => items.iter().copied().filter(|o| !written.contains(o)).collect(),
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(modes: &[Mode]) -> Order {
        let write = |mode: &Mode| Write { mode: *mode, ..Write::insert("t").unwrap() };
        Order::of(&modes.iter().map(write).collect::<Vec<_>>())
    }

    #[test]
    fn increments_wait_only_where_nothing_else_says_what_is_new() {
        use Mode::{Ignore, Increment, Insert, Upsert};
        let cases: [(&[Mode], &[usize], &[usize]); 6] = [
            (&[Increment, Ignore, Increment, Ignore], &[1, 3], &[0, 2]),
            (&[Ignore], &[0], &[]),
            (&[Increment], &[0], &[]),
            (&[Increment, Insert], &[0, 1], &[]),
            (&[Increment, Ignore, Insert], &[0, 1, 2], &[]),
            (&[Ignore, Increment, Upsert], &[0, 1, 2], &[]),
        ];
        for (modes, first, then) in cases {
            let order = order(modes);
            assert_eq!((&order.first[..], &order.then[..]), (first, then), "{modes:?}");
        }
        assert!(Written::new(&order(&[Insert, Increment])).nothing_of(&[1]).is_empty());
    }
}
