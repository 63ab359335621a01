//! Dead letters that are read again: redriven.
//!
//! A dead letter is redriven once, by the unit that settles it in another run. From
//! then on that run answers for the item: it is in the target, it was dropped, or it
//! is a dead letter of that run.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::{DeadLetter, Fault, Result, RunId};

/// Which dead letters of an earlier run the items of a chunk are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letters {
    /// The run that has them.
    pub run: RunId,
    /// Its step.
    pub step: String,
    /// The ordinal before that of the chunk's first item.
    pub before: u64,
    /// For each item of the chunk, the ordinal of its dead letter; they rise.
    pub ordinals: Vec<u64>,
}

impl Letters {
    /// The ordinal of the dead letter that an item is.
    pub fn of(&self, item: u64) -> Option<u64> {
        let index = usize::try_from(item.checked_sub(self.before + 1)?).ok()?;
        self.ordinals.get(index).copied()
    }

    /// The fault of a unit whose letters another run has redriven already.
    pub fn taken(&self) -> Fault {
        let Self { run, step, .. } = self;
        Fault::config(format!(
            "some of these dead letters of run {run}, step {step}, were redriven by another run \
             in the meantime"
        ))
        .with_hint("nothing of them was written twice; start again for those that are left")
    }
}

/// A dead letter that was redriven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// The dead letter's ordinal in its own run.
    pub ordinal: u64,
    /// The run that settled it.
    pub by: RunId,
}

/// Makes items of dead letters, as the source made them of its records.
///
/// Obligations:
/// * What [`read`](Self::read) gives has the columns of [`schema`](Self::schema)
///   and one row.
/// * A record that the source would refuse is refused for the same reason.
pub trait RawReader: Send + Sync {
    /// The columns of the items.
    fn schema(&self) -> SchemaRef;

    /// The item that a dead letter's record is.
    ///
    /// # Errors
    /// [`Kind::Item`](crate::Kind::Item): the record is none.
    fn read(&mut self, letter: &DeadLetter) -> Result<RecordBatch>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_of_another_chunk_is_no_letter() {
        let (run, step) = (RunId("r".into()), "main".to_owned());
        let letters = Letters { run, step, before: 5, ordinals: vec![17, 90] };
        assert_eq!([5, 6, 7, 8].map(|i| letters.of(i)), [None, Some(17), Some(90), None]);
        assert_eq!(letters.of(0), None);
    }
}
