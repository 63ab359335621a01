//! A place in a table that is read in ranges: what the order of its items hangs
//! on.
//!
//! ```text
//! range 0   (…, b0]     a a a a …      items: a  d  g  a a  d d  g g  a a a a  …
//! range 1   (b0, b1]    d d d …               └ round 1 ┘ └─ round 2 ─┘ └ round 3
//! range 2   (b1, …)     g g g g g …    each round takes twice as many rows of each
//! ```
//!
//! The ranges take turns, so that all of them are read at the same time; handed
//! over one behind the other, all but the first would wait. A turn is a number of
//! rows, never of pages or bytes: so the order is told by the bounds and the rows
//! alone, however chunks are cut. The first turns are short, that all readers are
//! at work at once; the later ones are so long that a page of the target's table
//! holds neighbours. A range at its end drops out.

use kiln_core::TableSpec;
use serde_json::{Value, json};

use super::place::{Key, json_of, key_of};

/// The longest turn, in rows.
const LONGEST_TURN: u64 = 128;

/// The ranges of a table in the order of their keys, and how far each is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranges {
    all: Vec<Range>,
    /// The range that gives the next row.
    turn: usize,
    /// How many rows it gives.
    length: u64,
    /// How many of them it has given.
    given: u64,
}

/// The rows behind the range before it, up to a key.
#[derive(Debug, Clone, PartialEq)]
struct Range {
    /// The key of the last row that was read, if one was.
    last: Option<Key>,
    /// The last key that may be in it; the last range has none.
    upto: Option<Key>,
    is_done: bool,
}

impl Ranges {
    /// One range up to each of these keys, which rise, and one behind them.
    pub(super) fn new(bounds: &[Key]) -> Self {
        let range = |upto| Range { last: None, upto, is_done: false };
        let all = bounds.iter().cloned().map(Some).chain([None]).map(range).collect();
        Self { all, turn: 0, length: 1, given: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Which range gives the next row; none at the end.
    pub(super) fn turn(&self) -> Option<usize> {
        self.all.get(self.turn).filter(|range| !range.is_done).map(|_| self.turn)
    }

    /// Whether there is nothing more in a range.
    pub(super) fn is_done(&self, range: usize) -> bool {
        self.all.get(range).is_none_or(|range| range.is_done)
    }

    /// The key behind which a range is to be read on, and the one up to which.
    /// `since` is what the first one is behind.
    pub(super) fn ends(&self, range: usize, since: Option<&Key>) -> (Option<Key>, Option<Key>) {
        let own = self.all.get(range);
        let before = match range.checked_sub(1).and_then(|before| self.all.get(before)) {
            Some(before) => before.upto.as_ref(),
            None => since,
        };
        let behind = own.and_then(|own| own.last.as_ref()).or(before);
        (behind.cloned(), own.and_then(|own| own.upto.clone()))
    }

    /// The range whose turn it is has given a row.
    pub(super) fn give(&mut self) {
        self.given += 1;
        if self.given >= self.length {
            self.pass();
        }
    }

    /// The range whose turn it is has no more rows.
    pub(super) fn end(&mut self) {
        if let Some(range) = self.all.get_mut(self.turn) {
            range.is_done = true;
        }
        self.pass();
    }

    /// Where a range was read up to.
    pub(super) fn set_last(&mut self, range: usize, key: Key) {
        if let Some(range) = self.all.get_mut(range) {
            range.last = Some(key);
        }
    }

    /// It is the turn of the next range that is not done.
    fn pass(&mut self) {
        self.given = 0;
        for _ in 0..self.all.len() {
            self.turn += 1;
            if self.turn == self.all.len() {
                self.turn = 0;
                self.length = (self.length * 2).min(LONGEST_TURN);
            }
            if !self.is_done(self.turn) {
                return;
            }
        }
    }

    /// The greatest key that was read.
    pub(super) fn greatest(&self) -> Option<&Key> {
        self.all.iter().rev().find_map(|range| range.last.as_ref())
    }

    /// The text of a place.
    pub(super) fn write(&self) -> String {
        let key = |key: &Option<Key>| key.as_ref().map(|key| json_of(key));
        let range = |r: &Range| json!([key(&r.last), key(&r.upto), r.is_done]);
        let all: Vec<Value> = self.all.iter().map(range).collect();
        json!({ "turn": [self.turn, self.length, self.given], "ranges": all }).to_string()
    }

    /// The place that JSON names, of keys of so many values.
    pub(super) fn read(place: &Value, values: usize) -> Option<Self> {
        let key = |json: &Value| match json {
            Value::Null => Some(None),
            json => key_of(json, values).map(Some),
        };
        let range = |json: &Value| {
            let [last, upto, is_done] = json.as_array()?.as_slice() else { return None };
            Some(Range { last: key(last)?, upto: key(upto)?, is_done: is_done.as_bool()? })
        };
        let all: Vec<Range> =
            place.get("ranges")?.as_array()?.iter().map(range).collect::<Option<_>>()?;
        let [turn, length, given] = place.get("turn")?.as_array()?.as_slice() else { return None };
        let turn = usize::try_from(turn.as_u64()?).ok().filter(|turn| *turn < all.len())?;
        let (length, given) = (length.as_u64()?, given.as_u64()?);
        let is_bounded = |(i, range): (usize, &Range)| range.upto.is_none() == (i + 1 == all.len());
        let is_whole = all.iter().enumerate().all(is_bounded);
        let is_open = !all.get(turn)?.is_done || all.iter().all(|range| range.is_done);
        let is_turn = given < length && length <= LONGEST_TURN;
        let are_few = all.len() <= TableSpec::MOST_RANGES;
        (is_whole && is_open && is_turn && are_few).then_some(Self { all, turn, length, given })
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::KeyValue;
    use super::*;

    fn key(n: i64) -> Key {
        vec![KeyValue::Int(n)]
    }

    /// Which range gives each row, if they hold so many.
    fn turns(mut ranges: Ranges, mut rows: Vec<u64>) -> String {
        let mut turns = String::new();
        while let Some(turn) = ranges.turn() {
            ranges = Ranges::read(&serde_json::from_str(&ranges.write()).unwrap(), 1).unwrap();
            match rows[turn].checked_sub(1) {
                Some(left) => {
                    rows[turn] = left;
                    ranges.give();
                    turns.push_str(&turn.to_string());
                }
                None => ranges.end(),
            }
        }
        turns
    }

    #[test]
    fn ranges_take_longer_and_longer_turns() {
        let three = Ranges::new(&[key(1), key(2)]);
        assert_eq!(turns(three.clone(), vec![4, 9, 7]), "01200112201111222211");
        assert_eq!(turns(three.clone(), vec![0, 0, 0]), "");
        assert_eq!(turns(three.clone(), vec![0, 3, 0]), "111");
        assert_eq!(turns(three, vec![3, 0, 1]), "0200");
        assert_eq!(turns(Ranges::new(&[]), vec![300]).len(), 300);
    }

    #[test]
    fn a_range_begins_where_the_one_before_ends() {
        let mut ranges = Ranges::new(&[key(10)]);
        assert_eq!(ranges.ends(0, None), (None, Some(key(10))));
        assert_eq!(ranges.ends(0, Some(&key(3))), (Some(key(3)), Some(key(10))));
        assert_eq!(ranges.ends(1, Some(&key(3))), (Some(key(10)), None));
        assert_eq!(ranges.greatest(), None);
        ranges.set_last(0, key(7));
        assert_eq!(ranges.greatest(), Some(&key(7)));
        ranges.set_last(1, key(12));
        assert_eq!(ranges.ends(0, None), (Some(key(7)), Some(key(10))));
        assert_eq!(ranges.ends(1, None), (Some(key(12)), None));
        assert_eq!(ranges.greatest(), Some(&key(12)));
    }

    #[test]
    fn there_are_not_more_ranges_than_can_be() {
        let place = |ranges: i64| {
            let bounds: Vec<Key> = (1..ranges).map(key).collect();
            serde_json::from_str(&Ranges::new(&bounds).write()).unwrap()
        };
        assert!(Ranges::read(&place(64), 1).is_some());
        assert_eq!(Ranges::read(&place(65), 1), None);
    }

    #[test]
    fn what_is_no_place_is_told() {
        for place in [
            r#"{}"#,
            r#"{"turn":[0,1,0]}"#,
            r#"{"turn":[0,1,0],"ranges":[]}"#,
            r#"{"turn":[1,1,0],"ranges":[[null,null,false]]}"#,
            r#"{"turn":[0,1,1],"ranges":[[null,null,false]]}"#,
            r#"{"turn":[0,129,1],"ranges":[[null,null,false]]}"#,
            r#"{"turn":[0,-1,0],"ranges":[[null,null,false]]}"#,
            r#"{"turn":[0,1,0],"ranges":[[null,[1],false]]}"#,
            r#"{"turn":[0,1,0],"ranges":[[null,null,false],[null,null,false]]}"#,
            r#"{"turn":[0,1,0],"ranges":[[null,[1],true],[null,null,false]]}"#,
            r#"{"turn":[0,1,0],"ranges":[[[1,2],null,false]]}"#,
            r#"{"turn":[0,1,0],"ranges":[[null,null,0]]}"#,
        ] {
            assert_eq!(Ranges::read(&serde_json::from_str(place).unwrap(), 1), None, "{place}");
        }
    }
}
