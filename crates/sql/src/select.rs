//! `[map] sql`: one SELECT over the table `item`.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use async_trait::async_trait;
use datafusion_expr::Expr;
use kiln_core::{CellColumn, Fault, Items, Mapped, Mapper, Result, Run, Stage};

use crate::columns::Columns;
use crate::depth;
use crate::evaluate::{Evaluated, Expression};
use crate::parse;
use crate::plan::{self, Planner};
use crate::verdict::{Kept, Settled, Verdicts};
use crate::view::View;

/// Maps items by one SELECT over the table `item`, with an optional WHERE.
///
/// WHERE decides first: an item for which it is false or NULL is filtered. An
/// item for which WHERE or a column fails is a failure of [`Stage::Map`] with
/// the code `cast`, `division`, `overflow` or `expression`, and the column.
#[derive(Debug)]
pub struct SqlMapper {
    view: View,
    condition: Option<Expression>,
    columns: Vec<Expression>,
    schema: SchemaRef,
    run: Run,
}

impl SqlMapper {
    /// Parses, checks and plans a SELECT for items with the columns `input`.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for what is no SELECT that one
    /// item can answer, an unknown name, types that do not fit, two columns of
    /// one name or a column without one.
    pub fn new(sql: &str, input: SchemaRef) -> Result<Self> {
        depth::with_room(|| Self::plan(sql, &input)).map_err(|e| e.at("[map] sql"))
    }

    fn plan(sql: &str, input: &Schema) -> Result<Self> {
        let select = parse::select(sql)?;
        let table = plan::name(&select.table);
        let planner = Planner::new(input, &table)?;
        let condition = select.condition.map(|c| planner.resolve_condition(c)).transpose();
        let condition = condition.map_err(|e| e.at("WHERE"))?;
        let columns = Columns { planner: &planner, input, table: &table }.of(select.columns)?;

        let of_where = condition.iter().map(|e| ("WHERE".to_owned(), e));
        let of_columns = columns.iter().map(|(name, e)| (format!("column {name}"), e));
        let all: Vec<(String, &Expr)> = of_where.chain(of_columns).collect();
        let (view, mut compiled) = planner.compile(&all)?;
        let condition = condition.map(|_| compiled.remove(0));
        let names = columns.into_iter().map(|(name, _)| name);
        let schema = Schema::new(
            names
                .zip(&compiled)
                .map(|(n, e)| Field::new(n, e.kind.clone(), true))
                .collect::<Vec<_>>(),
        );
        let schema = Arc::new(schema);
        CellColumn::of(&RecordBatch::new_empty(Arc::clone(&schema)))?;
        Ok(Self { view, condition, columns: compiled, schema, run: Run::default() })
    }
}

#[async_trait]
impl Mapper for SqlMapper {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&mut self, run: &Run) {
        self.run.clone_from(run);
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut verdicts = Verdicts::new(items.len());
        let everything = self.view.batch(&items, &self.run)?;
        if let Some(condition) = &self.condition {
            let (broken, failed) = condition.broken(&everything)?;
            failed.into_iter().for_each(|(row, fault)| verdicts.fail(row, fault.at("WHERE")));
            broken.into_iter().for_each(|row| verdicts.filter(row));
        }
        let kept = verdicts.kept(&everything)?;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (field, column) in self.schema.fields().iter().zip(&self.columns) {
            let Evaluated { array, failed } = column.evaluate(&kept.batch)?;
            for (i, fault) in failed {
                verdicts.fail(kept.row(i), fault.at(field.name()).with_column(field.name()));
            }
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(self.schema(), arrays)
            .map_err(|e| Fault::bug(format!("mapped columns do not fit together: {e}")))?;
        settle(items, &kept, batch, verdicts)
    }
}

/// Puts together what goes on of the mapped rows, which were `kept`.
fn settle(items: Items, kept: &Kept, mut batch: RecordBatch, verdicts: Verdicts) -> Result<Mapped> {
    let Items { mut ordinals, origins, .. } = items;
    let Settled { keep, filtered, failures } = verdicts.settle(&ordinals, Stage::Map);
    if let Some(keep) = keep {
        if !failures.is_empty() {
            let keep = (0..batch.num_rows()).map(|i| Some(keep.value(kept.row(i)))).collect();
            batch = filter_record_batch(&batch, &keep)
                .map_err(|e| Fault::bug(format!("mapped rows can't be filtered: {e}")))?;
        }
        let mut keeps = keep.values().iter();
        ordinals.retain(|_| keeps.next() == Some(true));
    }
    Ok(Mapped { filtered, failures, ..Mapped::all(Items { batch, ordinals, origins }) })
}
