//! `[[require]]`: what must hold of an item.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion_expr::Expr;
use kiln_core::{Fault, Items, Mapped, Mapper, Result, Run, Stage, Warning};

use crate::depth;
use crate::evaluate::Expression;
use crate::parse;
use crate::plan::Planner;
use crate::verdict::Verdicts;
use crate::view::View;

/// The longest name under which a rule is counted, in characters.
const LONGEST_NAME: usize = 200;

/// What becomes of an item that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Severity {
    /// It fails.
    #[default]
    Fail,
    /// It goes on, and is counted.
    Warn,
}

/// A rule and what is said of those who break it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// A condition over the item.
    pub rule: String,
    /// The name under which broken rules are counted; if it is empty, the
    /// message, or else the rule itself. Rules of one name are counted together.
    pub name: String,
    /// What is said of an item for which it does not hold; may be empty.
    pub message: String,
    /// What becomes of such an item.
    pub severity: Severity,
}

impl Rule {
    /// What is said of an item that breaks it.
    fn message(&self) -> String {
        match self.message.as_str() {
            "" => format!("the rule {} does not hold", self.rule.trim()),
            message => message.to_owned(),
        }
    }

    /// The name under which it is counted.
    fn counted_as(&self) -> Arc<str> {
        let named = [&self.name, &self.message, &self.rule].map(|text| text.trim());
        let name = named.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        match name.char_indices().nth(LONGEST_NAME) {
            None => name.into(),
            Some(_) => name.chars().take(LONGEST_NAME - 1).chain(['…']).collect::<String>().into(),
        }
    }
}

/// Looks whether items hold some rules.
///
/// As with a CHECK of SQL, only what is false breaks a rule: NULL, where nobody
/// knows, does not. An item that breaks a rule of [`Severity::Fail`] is a failure
/// of [`Stage::Require`] with the code `require`, the rule's message, and its
/// name as constraint; one for which the rule itself fails has the code of that
/// fault. The first such rule counts. One that breaks a rule of
/// [`Severity::Warn`], or for which that one fails, goes on with a [`Warning`].
#[derive(Debug)]
pub struct RequireMapper {
    view: View,
    rules: Vec<Planned>,
    schema: SchemaRef,
    run: Run,
}

#[derive(Debug)]
struct Planned {
    condition: Expression,
    name: Arc<str>,
    message: String,
    severity: Severity,
}

impl RequireMapper {
    /// Parses, checks and plans rules for items with the columns `input`.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for a rule that is not
    /// something true or false of one item; the message names the rule.
    pub fn new(rules: Vec<Rule>, input: SchemaRef) -> Result<Self> {
        depth::with_room(|| Self::plan(rules, input))
    }

    fn plan(rules: Vec<Rule>, input: SchemaRef) -> Result<Self> {
        let planner = Planner::new(&input, "item")?;
        let name = |rule: &Rule| format!("rule `{}`", rule.rule);
        let resolve = |rule: &Rule| {
            parse::expression(&rule.rule)
                .and_then(|ast| planner.resolve_condition(ast))
                .map_err(|e| e.at(name(rule)))
        };
        let resolved = rules.iter().map(resolve).collect::<Result<Vec<Expr>>>()?;
        let named: Vec<_> = rules.iter().map(name).zip(&resolved).collect();
        let (view, conditions) = planner.compile(&named)?;
        let planned = |(rule, condition): (&Rule, Expression)| Planned {
            condition,
            name: rule.counted_as(),
            message: rule.message(),
            severity: rule.severity,
        };
        let rules = rules.iter().zip(conditions).map(planned).collect();
        Ok(Self { view, rules, schema: input, run: Run::default() })
    }
}

#[async_trait]
impl Mapper for RequireMapper {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&mut self, run: &Run) {
        self.run.clone_from(run);
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut verdicts = Verdicts::new(items.len());
        // By item and rule: an item of several rows is warned of once.
        let mut warned: BTreeSet<(u64, Arc<str>)> = BTreeSet::new();
        let everything = self.view.batch(&items, &self.run)?;
        for Planned { condition, name, message, severity } in &self.rules {
            let kept = verdicts.kept(&everything)?;
            let (broken, failed) = condition.refuted(&kept.batch)?;
            match severity {
                Severity::Warn => {
                    let rows = broken.into_iter().chain(failed.into_iter().map(|(row, _)| row));
                    let item = |row| items.ordinals[kept.row(row)];
                    warned.extend(rows.map(|row| (item(row), Arc::clone(name))));
                }
                Severity::Fail => {
                    let breach = || Fault::item(message).with_code("require");
                    let failed = failed.into_iter().map(|(row, fault)| (row, fault.at(message)));
                    let broken = broken.into_iter().map(|row| (row, breach()));
                    for (row, fault) in failed.chain(broken) {
                        verdicts.fail(kept.row(row), fault.with_constraint(&**name));
                    }
                }
            }
        }
        let settled = verdicts.settle(&items.ordinals, Stage::Require);
        let gone = |ordinal| settled.failures.binary_search_by_key(&ordinal, |f| f.ordinal).is_ok();
        let warned = warned.into_iter().filter(|(ordinal, _)| !gone(*ordinal));
        let warnings = warned.map(|(ordinal, rule)| Warning { ordinal, rule }).collect();
        let items = match settled.keep {
            None => items,
            Some(keep) => items.filter(&keep)?,
        };
        Ok(Mapped { items, filtered: settled.filtered, failures: settled.failures, warnings })
    }
}
