//! `[[require]]`: what must hold of an item.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion_expr::Expr;
use kiln_core::{Fault, Items, Mapped, Mapper, Result, RunId, Stage};

use crate::depth;
use crate::evaluate::Expression;
use crate::parse;
use crate::plan::Planner;
use crate::verdict::Verdicts;
use crate::view::View;

/// What must hold of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A boolean expression over the item.
    pub rule: String,
    /// What is said of an item for which it does not hold; may be empty.
    pub message: String,
}

/// Refuses items that break a rule.
///
/// An item for which a rule is false or NULL is a failure of
/// [`Stage::Require`] with the code `require` and the rule's message; one for
/// which the rule itself fails has the code of that fault. The first rule that
/// does not hold counts.
#[derive(Debug)]
pub struct RequireMapper {
    view: View,
    rules: Vec<(String, Expression)>,
    schema: SchemaRef,
    run: String,
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
        let (view, compiled) = planner.compile(&named)?;
        let messages = rules.into_iter().map(message);
        Ok(Self {
            view,
            rules: messages.zip(compiled).collect(),
            schema: input,
            run: String::new(),
        })
    }
}

fn message(rule: Rule) -> String {
    let Rule { rule, message } = rule;
    let rule = rule.trim();
    if message.is_empty() { format!("the rule {rule} does not hold") } else { message }
}

#[async_trait]
impl Mapper for RequireMapper {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&mut self, run: &RunId) {
        self.run.clone_from(&run.0);
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut verdicts = Verdicts::new(items.len());
        let everything = self.view.batch(&items, &self.run)?;
        for (message, rule) in &self.rules {
            let kept = verdicts.kept(&everything)?;
            let (broken, failed) = rule.broken(&kept.batch)?;
            for (i, fault) in failed {
                verdicts.fail(kept.row(i), fault.at(message));
            }
            for i in broken {
                verdicts.fail(kept.row(i), Fault::item(message).with_code("require"));
            }
        }
        let settled = verdicts.settle(&items.ordinals, Stage::Require);
        let items = match settled.keep {
            None => items,
            Some(keep) => items.filter(&keep)?,
        };
        Ok(Mapped { items, filtered: settled.filtered, failures: settled.failures })
    }
}
