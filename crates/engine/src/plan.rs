//! The order in which steps run.

use kiln_core::Fault;

use crate::job::Step;
use crate::when::{Condition, is_of};

/// What keeps steps from having an order. Steps are counted from 0, as they
/// were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disorder {
    /// The name of a step is none: it has letters, digits, `_`, `-` and `.`.
    Name {
        /// The step.
        step: usize,
    },
    /// A step has the name of an earlier one.
    Twice {
        /// The later one.
        step: usize,
    },
    /// A step needs one that is not there.
    Unknown {
        /// The step.
        step: usize,
        /// Which of its needs, counted from 0.
        need: usize,
    },
    /// The condition of a step names one that it does not need.
    Undecided {
        /// The step.
        step: usize,
        /// What it names.
        name: String,
    },
    /// A step has a condition, and needs no step by which to decide.
    Unneeding {
        /// The step.
        step: usize,
    },
    /// Each of these steps needs the next, and the last needs the first.
    Circle {
        /// The steps.
        steps: Vec<usize>,
    },
}

/// The order in which steps run, as places in `steps` (the name of each, and
/// the names of those it needs, alone or [shared](crate::is_of)): a step comes
/// behind those it needs, else they stay as they are.
///
/// # Errors
/// [`Disorder`], if there is no such order.
pub fn in_order(steps: &[(&str, Vec<&str>)]) -> Result<Vec<usize>, Disorder> {
    let needs = resolved(steps)?;
    let mut order: Vec<usize> = Vec::with_capacity(steps.len());
    while order.len() < steps.len() {
        let waits = |step: &usize| needs[*step].iter().any(|need| !order.contains(need));
        let mut left = (0..steps.len()).filter(|step| !order.contains(step));
        match left.find(|step| !waits(step)) {
            Some(next) => order.push(next),
            None => return Err(circle(&needs, &order)),
        }
    }
    Ok(order)
}

/// Looks whether conditions name only what their steps need; one that names no
/// step needs one at least.
///
/// # Errors
/// [`Disorder::Undecided`].
pub fn decided<'a>(
    steps: &[(&str, Vec<&str>)],
    conditions: impl IntoIterator<Item = Option<&'a Condition>>,
) -> Result<(), Disorder> {
    for (step, condition) in conditions.into_iter().enumerate() {
        let (Some(condition), Some((_, needs))) = (condition, steps.get(step)) else { continue };
        let is_needed = |name: &&str| needs.iter().any(|need| is_of(need, name));
        if let Some(name) = condition.steps().into_iter().find(|name| !is_needed(name)) {
            return Err(Disorder::Undecided { step, name: name.to_owned() });
        }
        if needs.is_empty() {
            return Err(Disorder::Unneeding { step });
        }
    }
    Ok(())
}

/// The needs of each step as places.
fn resolved(steps: &[(&str, Vec<&str>)]) -> Result<Vec<Vec<usize>>, Disorder> {
    let place = |name: &str| steps.iter().position(|(known, _)| *known == name);
    let mut all = Vec::with_capacity(steps.len());
    for (step, (name, needs)) in steps.iter().enumerate() {
        if !is_name(name) {
            return Err(Disorder::Name { step });
        }
        if place(name) != Some(step) {
            return Err(Disorder::Twice { step });
        }
        let mut places = Vec::new();
        for (need, name) in needs.iter().enumerate() {
            let before = places.len();
            places.extend((0..steps.len()).filter(|place| is_of(steps[*place].0, name)));
            if places.len() == before {
                return Err(Disorder::Unknown { step, need });
            }
        }
        all.push(places);
    }
    Ok(all)
}

/// Whether it is a name; that of one of many has what it is for in brackets.
fn is_name(name: &str) -> bool {
    let (name, label) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((name, label)) => (name, label),
        None => (name, "-"),
    };
    let is_label = !label.is_empty() && !label.contains(char::is_control) && !label.contains(": ");
    let is_plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    is_label && !name.is_empty() && name.chars().all(is_plain)
}

/// A circle among the steps that are not in order: each of them waits for
/// another of them, so following them leads into one.
fn circle(needs: &[Vec<usize>], order: &[usize]) -> Disorder {
    let waiting = |step: &usize| !order.contains(step);
    let mut path: Vec<usize> = Vec::new();
    let mut next = (0..needs.len()).find(waiting);
    while let Some(step) = next {
        if let Some(begin) = path.iter().position(|seen| *seen == step) {
            path.drain(..begin);
            break;
        }
        path.push(step);
        next = needs[step].iter().copied().find(waiting);
    }
    Disorder::Circle { steps: path }
}

/// Puts the steps of a job in order.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config), if they have none.
pub(crate) fn put_in_order(steps: Vec<Step>) -> Result<Vec<Step>, Fault> {
    let names: Vec<(&str, Vec<&str>)> = steps
        .iter()
        .map(|step| (step.name.as_str(), step.needs.iter().map(String::as_str).collect()))
        .collect();
    let conditions = steps.iter().map(|step| step.when.as_ref());
    let order = in_order(&names)
        .and_then(|order| decided(&names, conditions).map(|()| order))
        .map_err(|disorder| disorder.fault(&names))?;
    let mut steps: Vec<(usize, Step)> = steps.into_iter().enumerate().collect();
    steps.sort_by_key(|(place, _)| order.iter().position(|at| at == place));
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// The steps that each one needs, as places; steps that are in order have no
/// others.
pub(crate) fn needs(steps: &[Step]) -> Vec<Vec<usize>> {
    let places = |need: &String| {
        let is_meant = |place: &usize| is_of(&steps[*place].name, need);
        (0..steps.len()).filter(is_meant).collect::<Vec<usize>>()
    };
    steps.iter().map(|step| step.needs.iter().flat_map(places).collect()).collect()
}

impl Disorder {
    /// As a fault for people; `steps` as they were given to [`in_order`].
    pub fn fault(&self, steps: &[(&str, Vec<&str>)]) -> Fault {
        let name = |step: &usize| steps.get(*step).map_or("?", |(name, _)| *name);
        match self {
            Self::Name { step } => Fault::config(format!("{:?} is no name for a step", name(step)))
                .with_hint("names have letters, digits, `_`, `-` and `.`"),
            Self::Twice { step } => Fault::config(format!("two steps are called {}", name(step)))
                .with_hint("give one of them another name"),
            Self::Unknown { step, need } => {
                let need = steps.get(*step).and_then(|(_, needs)| needs.get(*need)).unwrap_or(&"?");
                Fault::config(format!("step {} needs {need}, which is no step", name(step)))
            }
            Self::Undecided { step, name: other } => Fault::config(format!(
                "step {} decides by step {other}, and does not need it",
                name(step)
            ))
            .with_hint(format!("add it: needs = [\"{other}\"]")),
            Self::Unneeding { step } => Fault::config(format!(
                "step {} decides by the steps it needs, which are none",
                name(step)
            ))
            .with_hint("say which it needs: needs = [\"…\"]"),
            Self::Circle { steps: circle } => {
                let names: Vec<&str> = circle.iter().chain(circle.first()).map(name).collect();
                Fault::config(format!("steps wait for each other: {}", names.join(" needs ")))
                    .with_hint("take one of these needs out")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of each step, and what it needs.
    type Steps<'a> = &'a [(&'a str, &'a [&'a str])];

    fn ordered(steps: Steps<'_>) -> Result<String, String> {
        let steps: Vec<(&str, Vec<&str>)> =
            steps.iter().map(|(name, needs)| (*name, needs.to_vec())).collect();
        match in_order(&steps) {
            Ok(order) => Ok(order.iter().map(|step| steps[*step].0).collect::<Vec<_>>().join(" ")),
            Err(disorder) => Err(disorder.fault(&steps).message().to_owned()),
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_the_rest_stays_where_it_is() {
        let cases: [(Steps<'_>, &str); 5] = [
            (&[("a", &[]), ("b", &[]), ("c", &[])], "a b c"),
            (&[("c", &["a"]), ("b", &[]), ("a", &[])], "b a c"),
            (&[("c", &["b", "a"]), ("b", &["a"]), ("a", &[]), ("d", &[])], "a b c d"),
            (&[("a", &[]), ("b", &["a", "a"]), ("c", &["a"])], "a b c"),
            (&[("d", &["b", "c"]), ("c", &["a"]), ("b", &["a"]), ("a", &[])], "a c b d"),
        ];
        for (steps, order) in cases {
            assert_eq!(ordered(steps).as_deref(), Ok(order), "{steps:?}");
        }
    }

    #[test]
    fn what_has_no_order_is_named() {
        let cases: [(Steps<'_>, &str); 6] = [
            (&[("a", &[]), ("a b", &[])], "\"a b\" is no name for a step"),
            (&[("", &[])], "\"\" is no name for a step"),
            (&[("a", &[]), ("b", &[]), ("a", &[])], "two steps are called a"),
            (&[("a", &["b", "x"]), ("b", &[])], "step a needs x, which is no step"),
            (&[("a", &["a"])], "steps wait for each other: a needs a"),
            (
                &[("z", &["a"]), ("a", &["b"]), ("o", &[]), ("b", &["o", "c"]), ("c", &["a"])],
                "steps wait for each other: a needs b needs c needs a",
            ),
        ];
        for (steps, why) in cases {
            assert_eq!(ordered(steps).unwrap_err(), why, "{steps:?}");
        }
    }
}
