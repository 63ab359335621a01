//! Which step begins when.

/// How far the steps of a run are, as places in their order.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The steps that each one needs.
    needs: Vec<Vec<usize>>,
    stands: Vec<Stand>,
    /// How many may be at work at once.
    most: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Waiting,
    AtWork,
    Ended,
    Failed,
}

impl Schedule {
    /// Nothing has begun yet.
    pub(crate) fn new(needs: Vec<Vec<usize>>, most: u32) -> Self {
        let stands = vec![Stand::Waiting; needs.len()];
        Self { needs, stands, most: usize::try_from(most).unwrap_or(usize::MAX).max(1) }
    }

    /// Begins the first step that needs nothing any more, if there is room.
    pub(crate) fn begin(&mut self) -> Option<usize> {
        if self.stands.iter().filter(|stand| **stand == Stand::AtWork).count() >= self.most {
            return None;
        }
        let is_free = |step: &usize| {
            self.stands[*step] == Stand::Waiting
                && self.needs[*step].iter().all(|need| self.stands[*need] == Stand::Ended)
        };
        let next = (0..self.stands.len()).find(is_free)?;
        self.stands[next] = Stand::AtWork;
        Some(next)
    }

    /// A step has come to its end.
    pub(crate) fn ended(&mut self, step: usize) {
        self.stands[step] = Stand::Ended;
    }

    /// A step has failed: what needs it waits for ever.
    pub(crate) fn failed(&mut self, step: usize) {
        self.stands[step] = Stand::Failed;
    }

    /// Whether all steps have come to their end.
    pub(crate) fn is_over(&self) -> bool {
        self.stands.iter().all(|stand| *stand == Stand::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.begin()).collect()
    }

    #[test]
    fn steps_begin_as_early_as_there_is_room_in_their_order() {
        // 0 → 2, 1 → 3, 4
        let needs = vec![vec![], vec![], vec![0], vec![1], vec![]];
        let mut schedule = Schedule::new(needs.clone(), 2);
        assert_eq!(begun(&mut schedule), [0, 1]);
        schedule.ended(1);
        assert_eq!(begun(&mut schedule), [3], "2 waits for 0");
        schedule.ended(3);
        assert_eq!(begun(&mut schedule), [4]);
        schedule.ended(4);
        assert!(begun(&mut schedule).is_empty());
        schedule.ended(0);
        assert_eq!(begun(&mut schedule), [2]);
        assert!(!schedule.is_over());
        schedule.ended(2);
        assert!(schedule.is_over());

        let mut one_by_one = Schedule::new(needs, 0);
        for step in 0..5 {
            assert_eq!(begun(&mut one_by_one), [step]);
            one_by_one.ended(step);
        }
    }

    #[test]
    fn what_needs_a_failed_step_never_begins_and_the_rest_does() {
        let mut schedule = Schedule::new(vec![vec![], vec![0], vec![1], vec![]], 8);
        assert_eq!(begun(&mut schedule), [0, 3]);
        schedule.failed(0);
        schedule.ended(3);
        assert!(begun(&mut schedule).is_empty());
        assert!(!schedule.is_over());
    }
}
