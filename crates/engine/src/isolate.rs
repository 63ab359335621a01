//! Finding the bad items of a refused unit.
//!
//! It is the same for every sink, and crash-safe by construction: a refused
//! unit is cut into units, each with a span and a mark of its own, or given
//! back without the items that are known to be bad. A lone bad item is a unit
//! with no row and one dead letter.

use kiln_core::{Failure, Fault, Refusal, Rejection, Result, Stage, Unit};

/// How often a unit is cut at the item that the target names before the target
/// is asked to name them all. It is asked at once where more than twice as many
/// are to be expected, or none is named.
const NAMED_FIRST: u32 = 3;

/// Where more than this share of the items is bad, and a few more so that a
/// chance cluster does not decide, the rest goes item by item: bisection would
/// take more tries than there are items.
const DENSE: f64 = 0.125;
const CHANCE: f64 = 4.0;

/// A larger part is cut all the same: bad items come in clusters, and behind the
/// end of one single items would be tried in vain.
const ONE_BY_ONE: usize = 128;

/// What isolation has found out about the unit it began with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Findings {
    /// Parts that were refused.
    pub(crate) refused: u32,
    /// Items that were settled, one way or the other.
    pub(crate) settled: usize,
    /// Items among them that were bad.
    pub(crate) bad: usize,
}

impl Findings {
    /// Whether the target should be asked to name all bad items of a unit that
    /// it refused.
    pub(crate) fn call_for_diagnosis(&self, unit: &Unit, refusal: &Refusal) -> bool {
        let before = refusal.ordinal.and_then(|o| unit.items.binary_search(&o).ok());
        // The bad items lie as close as the first one to the start.
        let expected = before.map(|before| unit.items.len() / (before + 1));
        self.refused > NAMED_FIRST || expected.is_none_or(|n| n > 2 * NAMED_FIRST as usize)
    }

    fn dense(&self) -> bool {
        self.bad as f64 > DENSE * self.settled as f64 + CHANCE
    }
}

/// The units that take the place of a refused one, in order. Together they
/// cover its span.
///
/// # Errors
/// The refusal's fault, if there is no item in the unit that could be at fault.
pub(crate) fn take_apart(unit: &Unit, refusal: Refusal, findings: &Findings) -> Result<Vec<Unit>> {
    let named = refusal.ordinal.filter(|o| unit.items.binary_search(o).is_ok());
    match (unit.items.as_slice(), named) {
        ([], _) => Err(refusal.fault.at("a unit without rows was refused")),
        ([only], _) => Ok(vec![unit.reject(&[failure(*only, refusal.fault)])?]),
        ([first, ..], Some(bad)) if *first == bad => {
            Ok(vec![unit.reject(&[failure(bad, refusal.fault)])?])
        }
        (_, Some(bad)) => {
            let (good, rest) = unit.split(bad - 1);
            Ok(vec![good, rest.reject(&[failure(bad, refusal.fault)])?])
        }
        (items, None) if findings.dense() && items.len() <= ONE_BY_ONE => {
            Ok(one_by_one(unit, items))
        }
        (items, None) => {
            let (a, b) = unit.split(items[items.len() / 2 - 1]);
            Ok(vec![a, b])
        }
    }
}

/// The unit without the items that the target named; `None` if it named none.
///
/// # Errors
/// If rows and ordinals are at odds.
pub(crate) fn without(unit: &Unit, rejections: Vec<Rejection>) -> Result<Option<Unit>> {
    if rejections.is_empty() {
        return Ok(None);
    }
    let failures: Vec<Failure> =
        rejections.into_iter().map(|r| failure(r.ordinal, r.fault)).collect();
    let rest = unit.reject(&failures)?;
    Ok((rest.items.len() < unit.items.len()).then_some(rest))
}

/// The unit without all the items that a refusal names, if it names several.
///
/// # Errors
/// If rows and ordinals are at odds.
pub(crate) fn without_all(unit: &Unit, refusal: &Refusal) -> Result<Option<Unit>> {
    let (Some(ordinal), false) = (refusal.ordinal, refusal.others.is_empty()) else {
        return Ok(None);
    };
    let mut named = refusal.others.clone();
    named.push(Rejection { ordinal, fault: refusal.fault.clone() });
    without(unit, named)
}

fn one_by_one(unit: &Unit, items: &[u64]) -> Vec<Unit> {
    let mut units = Vec::with_capacity(items.len());
    let mut rest = unit.clone();
    for item in &items[..items.len() - 1] {
        let (one, more) = rest.split(*item);
        units.push(one);
        rest = more;
    }
    units.push(rest);
    units
}

fn failure(ordinal: u64, fault: Fault) -> Failure {
    Failure { ordinal, stage: Stage::Write, fault }
}
