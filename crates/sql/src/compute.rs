//! Columns added to an item.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_expr::Expr;
use kiln_core::{Fault, Items, Mapped, Mapper, Result, Run, Stage};

use crate::columns::check_unique;
use crate::depth;
use crate::evaluate::Expression;
use crate::parse;
use crate::plan::Planner;

use crate::verdict::Verdicts;
use crate::view::View;

/// Adds columns, each an expression over the item, behind those it has.
///
/// An item for which one of them fails is a failure of [`Stage::Map`], as with
/// [`SqlMapper`](crate::SqlMapper).
#[derive(Debug)]
pub struct ComputeMapper {
    view: View,
    columns: Vec<Expression>,
    /// How many columns the item has before.
    before: usize,
    schema: SchemaRef,
    run: Run,
}

impl ComputeMapper {
    /// Parses, checks and plans columns (name, expression) for items with the
    /// columns `input`. They see the item as it comes in, not one another.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for an expression that one
    /// item can't answer, and for a name that is taken.
    pub fn new(columns: Vec<(String, String)>, input: SchemaRef) -> Result<Self> {
        depth::with_room(|| Self::plan(columns, input))
    }

    fn plan(columns: Vec<(String, String)>, input: SchemaRef) -> Result<Self> {
        let given = input.fields().iter().map(|f| f.name().as_str());
        check_unique(given.chain(columns.iter().map(|(name, _)| name.as_str())))?;
        let planner = Planner::new(&input, "item")?;
        let name = |(name, sql): &(String, String)| format!("column {name}, `{sql}`");
        let resolve = |column: &(String, String)| {
            parse::expression(&column.1)
                .and_then(|ast| planner.resolve(ast))
                .map_err(|e| e.at(name(column)))
        };
        let resolved = columns.iter().map(resolve).collect::<Result<Vec<Expr>>>()?;
        let named: Vec<_> = columns.iter().map(name).zip(&resolved).collect();
        let (view, compiled) = planner.compile(&named)?;
        let added = columns.into_iter().zip(&compiled);
        let added = added.map(|((name, _), e)| Arc::new(Field::new(name, e.kind.clone(), true)));
        let fields: Vec<_> = input.fields().iter().cloned().chain(added).collect();
        Ok(Self {
            view,
            columns: compiled,
            before: input.fields().len(),
            schema: Arc::new(Schema::new(fields)),
            run: Run::default(),
        })
    }
}

#[async_trait]
impl Mapper for ComputeMapper {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&mut self, run: &Run) {
        self.run.clone_from(run);
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut verdicts = Verdicts::new(items.len());
        let batch = self.view.batch(&items, &self.run)?;
        let mut arrays = items.batch.columns().to_vec();
        for (field, column) in self.schema.fields()[self.before..].iter().zip(&self.columns) {
            let evaluated = column.evaluate(&batch)?;
            for (row, fault) in evaluated.failed {
                verdicts.fail(row, fault.at(field.name()).with_column(field.name()));
            }
            arrays.push(evaluated.array);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|e| Fault::bug(format!("computed columns do not fit the items: {e}")))?;
        let items = Items { batch, ..items };
        let settled = verdicts.settle(&items.ordinals, Stage::Map);
        let items = match settled.keep {
            None => items,
            Some(keep) => items.filter(&keep)?,
        };
        let (filtered, failures) = (settled.filtered, settled.failures);
        Ok(Mapped { filtered, failures, ..Mapped::all(items) })
    }
}
