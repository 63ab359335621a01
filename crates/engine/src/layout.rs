//! How many lanes a step has, and how its marks tell.

use std::collections::BTreeMap;

use kiln_core::Mark;

/// So many lanes side by side.
///
/// Lanes of one layout have other numbers than those of any other, so that the
/// marks of a step tell which layouts it had: one lane is 0; two are 1 and 2;
/// three are 3, 4 and 5; and so on. What an item's lane is depends on the
/// layout alone, never on chunks; so it is the same when the item is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layout(u32);

impl Layout {
    /// No target has use for more; it keeps the numbers of lanes small.
    const MOST: u32 = 64;

    pub(crate) fn new(lanes: u32) -> Self {
        Self(lanes.clamp(1, Self::MOST))
    }

    /// The layout that has this lane.
    fn with(lane: u32) -> Self {
        let mut layout = Self(1);
        while layout.first() + layout.0 <= lane {
            layout.0 += 1;
        }
        layout
    }

    fn first(self) -> u32 {
        self.0 * (self.0 - 1) / 2
    }

    /// How many lanes it has.
    pub(crate) fn count(self) -> u32 {
        self.0
    }

    /// The numbers of its lanes.
    pub(crate) fn lanes(self) -> std::ops::Range<u32> {
        self.first()..self.first() + self.0
    }

    /// The layout that the step was last at work in; none if it has not begun.
    ///
    /// A change of layout is done where the old lanes are level: all new ones
    /// are brought there, each by a unit without items, before any of them goes
    /// on. So of the layouts whose lanes are all there it is the one whose last
    /// lane got farthest; if two are level in the same place it is the one whose
    /// first lane got farther, or either, as there is no item between them.
    pub(crate) fn in_force(marks: &[(u32, Mark)]) -> Option<Self> {
        let mut layouts: BTreeMap<Self, Vec<u64>> = BTreeMap::new();
        for (lane, mark) in marks {
            layouts.entry(Self::with(*lane)).or_default().push(mark.done);
        }
        let whole = layouts.into_iter().filter(|(layout, done)| done.len() == layout.0 as usize);
        whole
            .max_by_key(|(_, done)| (done.iter().min().copied(), done.iter().max().copied()))
            .map(|(layout, _)| layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_of_one_layout() {
        let mut next = 0;
        for n in 1..=Layout::MOST {
            let layout = Layout::new(n);
            assert_eq!(layout.lanes().start, next);
            assert!(layout.lanes().all(|lane| Layout::with(lane) == layout));
            next = layout.lanes().end;
        }
        assert_eq!((Layout::new(0), Layout::new(u32::MAX)), (Layout(1), Layout(64)));
    }

    #[test]
    fn a_change_of_layout_can_be_broken_off_anywhere() {
        let marks = |done: &[(u32, u64)]| -> Vec<(u32, Mark)> {
            done.iter().map(|(lane, d)| (*lane, Mark { done: *d, ..Mark::default() })).collect()
        };
        let in_force = |done: &[(u32, u64)]| Layout::in_force(&marks(done)).map(Layout::count);
        type Case<'a> = (&'a [(u32, u64)], Option<u32>);
        let cases: &[Case<'_>] = &[
            (&[], None),
            (&[(1, 0)], None),
            (&[(0, 0)], Some(1)),
            (&[(1, 7), (2, 3)], Some(2)),
            // From two lanes, level at 7, to three.
            (&[(1, 7), (2, 7), (3, 0)], Some(2)),
            (&[(1, 7), (2, 7), (3, 0), (4, 0), (5, 0)], Some(2)),
            (&[(1, 7), (2, 7), (3, 7), (4, 7), (5, 0)], Some(2)),
            (&[(1, 7), (2, 7), (3, 7), (4, 9), (5, 7)], Some(3)),
            // And back, level at 9.
            (&[(1, 9), (2, 7), (3, 9), (4, 9), (5, 9)], Some(3)),
            (&[(1, 9), (2, 12), (3, 9), (4, 9), (5, 9)], Some(2)),
        ];
        for (done, expected) in cases {
            assert_eq!(in_force(done), *expected, "{done:?}");
        }
        let level = in_force(&[(1, 9), (2, 9), (3, 9), (4, 9), (5, 9)]);
        assert!(level.is_some(), "either will do");
    }
}
