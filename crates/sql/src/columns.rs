//! The columns of a SELECT: their names and expressions.

use std::collections::HashSet;

use arrow_schema::Schema;
use datafusion_expr::Expr;
use datafusion_sql::sqlparser::ast::{
    ExcludeSelectItem, Expr as Ast, Ident, ObjectName, SelectItem, SelectItemQualifiedWildcardKind,
    WildcardAdditionalOptions,
};
use kiln_core::{Fault, Result};

use crate::plan::{self, Planner};

/// Reads what stands between SELECT and FROM.
pub(crate) struct Columns<'a> {
    pub(crate) planner: &'a Planner,
    pub(crate) input: &'a Schema,
    /// The name under which the SQL knows the item.
    pub(crate) table: &'a str,
}

impl Columns<'_> {
    /// The columns, each with its name.
    pub(crate) fn of(&self, list: Vec<SelectItem>) -> Result<Vec<(String, Expr)>> {
        let mut columns = Vec::new();
        for item in list {
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    columns.push(self.column(plan::name(&alias), expr)?);
                }
                SelectItem::UnnamedExpr(expr) => {
                    columns.push(self.column(own_name(&expr)?, expr)?);
                }
                SelectItem::Wildcard(options) => columns.extend(self.all(options)?),
                SelectItem::QualifiedWildcard(of, options) => {
                    self.check_qualifier(&of)?;
                    columns.extend(self.all(options)?);
                }
                SelectItem::ExprWithAliases { expr, .. } => {
                    return Err(Fault::config(format!("{expr} has several names")));
                }
            }
        }
        check_unique(columns.iter().map(|(name, _)| name.as_str()))?;
        Ok(columns)
    }

    fn column(&self, name: String, expr: Ast) -> Result<(String, Expr)> {
        let resolved =
            self.planner.resolve(expr).map_err(|e| e.at(format_args!("column {name}")))?;
        Ok((name, resolved))
    }

    /// `*`, perhaps with EXCLUDE: the item's columns, not what kiln knows of it.
    fn all(&self, options: WildcardAdditionalOptions) -> Result<Vec<(String, Expr)>> {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike: None,
            opt_exclude,
            opt_except,
            opt_replace: None,
            opt_rename: None,
            opt_alias: None,
        } = options
        else {
            return Err(Fault::config("this form of * can't be used")
                .with_hint("write * EXCLUDE (a, b), and then the columns that are to differ"));
        };
        let mut without = HashSet::new();
        let excluded = match opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => vec![last(&name)?],
            Some(ExcludeSelectItem::Multiple(names)) => {
                names.iter().map(last).collect::<Result<_>>()?
            }
            None => Vec::new(),
        };
        let excepted = opt_except
            .into_iter()
            .flat_map(|e| std::iter::once(e.first_element).chain(e.additional_elements));
        for ident in excluded.into_iter().chain(excepted) {
            let name = plan::name(&ident);
            if self.input.column_with_name(&name).is_none() {
                return Err(self.planner.unknown(&ident));
            }
            without.insert(name);
        }
        let fields = self.input.fields().iter().filter(|f| !without.contains(f.name()));
        fields
            .map(|f| {
                self.column(f.name().clone(), Ast::Identifier(Ident::with_quote('"', f.name())))
            })
            .collect()
    }

    fn check_qualifier(&self, of: &SelectItemQualifiedWildcardKind) -> Result<()> {
        match of {
            SelectItemQualifiedWildcardKind::ObjectName(name)
                if plan::name(&last(name)?) == self.table && name.0.len() == 1 =>
            {
                Ok(())
            }
            other => Err(Fault::config(format!("there is no table {other}"))),
        }
    }
}

fn last(name: &ObjectName) -> Result<Ident> {
    let ident = name.0.last().and_then(|part| part.as_ident()).cloned();
    ident.ok_or_else(|| Fault::config(format!("{name} is no name")))
}

/// The name of a column that is selected as it is.
pub(crate) fn own_name(expr: &Ast) -> Result<String> {
    match expr {
        Ast::Identifier(ident) => Ok(plan::name(ident)),
        Ast::CompoundIdentifier(path) if let Some(ident) = path.last() => Ok(plan::name(ident)),
        other => Err(Fault::config(format!("{other} has no name"))
            .with_hint(format!("give it one: {other} AS name"))),
    }
}

/// Refuses a name that stands for two columns.
pub(crate) fn check_unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Fault::config(format!("two columns are named {name:?}")).with_hint(
                "give one of them another name with AS, or leave it out of *: * EXCLUDE (name)",
            ));
        }
    }
    Ok(())
}
