//! Sharing a unit out among lanes.

use std::collections::BTreeSet;

use kiln_core::{Cell, CellColumn, Fault, Result, Rows, Unit, Write};
use twox_hash::XxHash3_64;

use crate::layout::Layout;

/// Items that stay together where no key says more. It is part of what an
/// item's lane is: another number would send the items of a run that is resumed
/// to other lanes.
const BLOCK: u64 = 128;

/// What tells an item's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Where it stands in the source.
    Block,
    /// The key of this write: rows with one key stay in one lane and in order,
    /// and no two lanes write the same row.
    Key(usize),
}

impl By {
    /// `None` where writes find their rows by keys that differ: then lanes
    /// would get in each other's way, or out of order. So too where the rows of
    /// a stream have keys, of which an item may have several.
    pub(crate) fn of(writes: &[Write]) -> Option<Self> {
        if writes.iter().any(|w| w.stream.is_some() && !w.key.is_empty()) {
            return None;
        }
        let mut keys = writes.iter().enumerate().filter(|(_, w)| !w.key.is_empty());
        let Some((first, write)) = keys.next() else { return Some(Self::Block) };
        let key = columns_of(write);
        keys.all(|(_, other)| columns_of(other) == key).then_some(Self::Key(first))
    }
}

/// The item's columns that make up the key.
fn columns_of(write: &Write) -> BTreeSet<&str> {
    let is_key = |column: &&kiln_core::WriteColumn| write.key.contains(&column.column);
    write.columns.iter().filter(is_key).map(|c| c.from.as_str()).collect()
}

/// Shares units out.
#[derive(Debug, Clone)]
pub(crate) struct Dealer {
    layout: Layout,
    by: By,
    /// The table's columns that are the key of the write in [`By::Key`].
    key: Vec<String>,
}

impl Dealer {
    pub(crate) fn new(layout: Layout, by: By, writes: &[Write]) -> Self {
        let key = match by {
            By::Block => Vec::new(),
            By::Key(write) => writes.get(write).map(|w| w.key.clone()).unwrap_or_default(),
        };
        Self { layout, by, key }
    }

    /// One unit for each lane, all with the span of the whole.
    ///
    /// # Errors
    /// [`Kind::Bug`](kiln_core::Kind::Bug) if the unit has not the key's
    /// columns.
    pub(crate) fn deal(&self, unit: Unit) -> Result<Vec<Unit>> {
        let count = self.layout.count();
        if count == 1 {
            return Ok(vec![unit]);
        }
        let block = |ordinal: u64| (ordinal.saturating_sub(1) / BLOCK % u64::from(count)) as u32;
        let lanes = match self.by {
            By::Block => unit.items.iter().map(|o| block(*o)).collect(),
            By::Key(write) => {
                let rows = unit
                    .writes
                    .get(write)
                    .ok_or_else(|| Fault::bug("a unit has other writes than its step"))?;
                self.by_key(&unit.items, rows, block)?
            }
        };
        unit.share(count, &lanes, block)
    }

    /// The lane of each item: that of its first row's key, or of its block if it
    /// has no row.
    fn by_key(&self, items: &[u64], rows: &Rows, block: impl Fn(u64) -> u32) -> Result<Vec<u32>> {
        let all = CellColumn::of(&rows.batch)?;
        let schema = rows.batch.schema();
        let column = |name: &String| {
            let index = schema.index_of(name);
            let index = index.map_err(|e| Fault::bug(format!("a key is not written: {e}")))?;
            Ok(all[index])
        };
        let key: Vec<CellColumn<'_>> = self.key.iter().map(column).collect::<Result<_>>()?;
        let mut bytes = Vec::new();
        let mut row = 0;
        let lane = |ordinal: &u64| {
            while rows.ordinals.get(row).is_some_and(|o| o < ordinal) {
                row += 1;
            }
            if rows.ordinals.get(row) != Some(ordinal) {
                return block(*ordinal);
            }
            bytes.clear();
            key.iter().for_each(|column| put(&mut bytes, column.cell(row)));
            (XxHash3_64::oneshot(&bytes) % u64::from(self.layout.count())) as u32
        };
        Ok(items.iter().map(lane).collect())
    }
}

/// A value's bytes, such that no two rows of values have the same.
fn put(bytes: &mut Vec<u8>, cell: Cell<'_>) {
    let mut tagged = |tag: u8, value: &[u8]| {
        bytes.push(tag);
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value);
    };
    match cell {
        Cell::Null => tagged(0, &[]),
        Cell::Bool(b) => tagged(1, &[u8::from(b)]),
        Cell::Int(i) => tagged(2, &i128::from(i).to_le_bytes()),
        Cell::UInt(u) => tagged(2, &i128::from(u).to_le_bytes()),
        // Both zeros are one number.
        Cell::Float(x) => tagged(3, &(x + 0.0).to_bits().to_le_bytes()),
        Cell::Decimal(digits, _) => tagged(4, &digits.to_le_bytes()),
        Cell::Text(t) => tagged(5, t.as_bytes()),
        Cell::Bytes(b) => tagged(6, b),
        Cell::Date(days) => tagged(7, &days.to_le_bytes()),
        Cell::Time(us) => tagged(8, &us.to_le_bytes()),
        Cell::Timestamp(us, _) => tagged(9, &us.to_le_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::{Decimal128Array, Int64Array, RecordBatch, StringArray};
    use kiln_core::{Checkpoint, NoOrigins, Span};

    use super::*;

    fn keyed(table: &str, key: &[(&str, &str)]) -> Write {
        let mut write = Write::insert(table).unwrap();
        write.key = key.iter().map(|(column, _)| (*column).to_owned()).collect();
        let columns = [key, &[("v", "value")]].concat();
        write.columns = columns
            .iter()
            .map(|(column, from)| kiln_core::WriteColumn {
                column: (*column).to_owned(),
                from: (*from).to_owned(),
            })
            .collect();
        write
    }

    #[test]
    fn lanes_need_one_key() {
        let plain = Write::insert("t").unwrap();
        let (a, b) =
            (keyed("a", &[("x", "id"), ("y", "day")]), keyed("b", &[("p", "day"), ("q", "id")]));
        let other = keyed("c", &[("x", "customer")]);
        assert_eq!(By::of(&[plain.clone(), plain.clone()]), Some(By::Block));
        assert_eq!(By::of(&[plain.clone(), a.clone(), b]), Some(By::Key(1)));
        let lines = Write { stream: Some("lines".into()), ..a.clone() };
        assert_eq!(By::of(&[a.clone(), lines]), None);
        assert_eq!(By::of(&[a, plain, other]), None);
    }

    fn unit(keys: &[Option<&str>]) -> Unit {
        let n = keys.len() as u64;
        let batch = RecordBatch::try_from_iter([
            ("k", Arc::new(StringArray::from(keys.to_vec())) as _),
            ("v", Arc::new((1..=n as i64).collect::<Int64Array>()) as _),
        ]);
        Unit {
            span: Span { from: 0, to: n },
            start: Checkpoint::default(),
            end: Checkpoint::default(),
            items: (1..=n).collect(),
            filtered: Vec::new(),
            dead_letters: Vec::new(),
            warnings: Vec::new(),
            writes: vec![Rows { batch: batch.unwrap(), ordinals: (1..=n).collect() }],
            origins: Arc::new(NoOrigins),
        }
    }

    #[test]
    fn one_key_is_in_one_lane_however_the_input_is_cut() {
        let keys: Vec<String> = (0..2_000).map(|n| format!("k{}", n % 37)).collect();
        let keys: Vec<Option<&str>> = keys.iter().map(|k| Some(k.as_str())).collect();
        let write = keyed("t", &[("k", "key")]);
        for count in [2, 3, 8] {
            let dealer = Dealer::new(Layout::new(count), By::Key(0), std::slice::from_ref(&write));
            let mut homes: HashMap<String, usize> = HashMap::new();
            let whole = unit(&keys);
            let (first, second) = whole.split(1_001);
            for part in [whole, first, second] {
                let shares = dealer.deal(part).unwrap();
                assert_eq!(shares.len(), count as usize);
                for (lane, share) in shares.iter().enumerate() {
                    for o in &share.items {
                        let key = keys[*o as usize - 1].unwrap().to_owned();
                        assert_eq!(*homes.entry(key).or_insert(lane), lane);
                    }
                }
            }
            let used: BTreeSet<usize> = homes.values().copied().collect();
            assert_eq!(used.len(), count as usize, "37 keys use every lane");
        }
    }

    #[test]
    fn a_null_is_a_key_too_and_a_number_is_the_same_in_every_width() {
        let write = keyed("t", &[("k", "key")]);
        let dealer = Dealer::new(Layout::new(4), By::Key(0), &[write]);
        let shares = dealer.deal(unit(&[None, Some("a"), None])).unwrap();
        assert_eq!(shares.iter().map(|s| s.items.len()).sum::<usize>(), 3);
        let bytes = |cell| {
            let mut bytes = Vec::new();
            put(&mut bytes, cell);
            bytes
        };
        assert_eq!(bytes(Cell::Int(7)), bytes(Cell::UInt(7)));
        assert_eq!(bytes(Cell::Float(0.0)), bytes(Cell::Float(-0.0)));
        assert_ne!(bytes(Cell::Int(7)), bytes(Cell::Decimal(7, 0)));
        let money = Decimal128Array::from(vec![700]).with_precision_and_scale(10, 2).unwrap();
        let batch = RecordBatch::try_from_iter([("m", Arc::new(money) as _)]).unwrap();
        assert_eq!(CellColumn::of(&batch).unwrap()[0].cell(0), Cell::Decimal(700, 2));
    }

    #[test]
    fn without_a_key_blocks_take_turns() {
        let keys = vec![Some("k"); 1_000];
        let dealer = Dealer::new(Layout::new(3), By::Block, &[]);
        let shares = dealer.deal(unit(&keys)).unwrap();
        for (lane, share) in shares.iter().enumerate() {
            assert!(share.items.iter().all(|o| ((o - 1) / BLOCK % 3) as usize == lane));
            assert_eq!(share.items, share.writes[0].ordinals);
            assert_eq!(share.span, Span { from: 0, to: 1_000 });
        }
        assert_eq!(shares.iter().map(|s| s.items.len()).sum::<usize>(), 1_000);
    }
}
