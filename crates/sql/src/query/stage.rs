//! Runs a query and keeps its result.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DECIMAL128_MAX_PRECISION, DataType, SchemaRef};
use datafusion::arrow::compute::cast;
use datafusion::physical_plan::execute_stream;
use datafusion_common::DataFusionError;
use futures_util::TryStreamExt as _;
use kiln_core::{Fault, Result, crash_point};

use super::fault::{is_memory, running};
use super::physical::{Joins, Room};
use super::plan::Planned;
use super::staged::{Staged, Writer};
use super::work::Work;
use crate::depth;

/// The result of this name: as it lies there, or else run in `memory` bytes.
pub(super) async fn staged(
    query: &Planned,
    work: &Work,
    name: &str,
    memory: usize,
) -> Result<Staged> {
    let locked = work.lock()?;
    let result = locked.result(name);
    // One that is damaged is of no use.
    if result.exists()
        && let Ok(staged) = Staged::open(&result)
    {
        return Ok(staged);
    }
    let staging = locked.staging()?;
    let aside = staging.path().join("result");
    let mut ran = run(query, &aside, memory, Joins::Hashed).await;
    if let Err(error) = &ran
        && is_memory(error)
    {
        std::fs::remove_file(&aside).map_err(|e| Fault::io(aside.display(), e))?;
        ran = run(query, &aside, memory, Joins::Sorted).await;
    }
    ran.map_err(|e| running(&e, memory))?;
    crash_point("staged");
    locked.publish(&aside, &result)?;
    crash_point("published");
    Staged::open(&result)
}

async fn run(
    query: &Planned,
    to: &Path,
    memory: usize,
    joins: Joins,
) -> std::result::Result<(), DataFusionError> {
    let mut writer = Writer::create(to, &query.schema).map_err(arrow)?;
    let spill = to.parent().unwrap_or(to);
    let room = Room::new(memory, spill, joins)?;
    let planned = depth::with_room(|| Ok(room.plan(&query.plan)));
    let plan = planned.map_err(|fault| DataFusionError::External(fault.into()))??;
    let mut batches = execute_stream(plan, room.context())?;
    while let Some(batch) = batches.try_next().await? {
        writer.write(plain(&batch, &query.schema)?).map_err(arrow)?;
    }
    writer.finish().map_err(arrow)
}

fn arrow(error: ArrowError) -> DataFusionError {
    DataFusionError::from(error)
}

/// The columns in their plain types. Types grow with arithmetic, so that results
/// fit, except beyond the largest: there arrow computes on without a look at the
/// digits.
fn plain(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, DataFusionError> {
    let column = |(array, field): (&ArrayRef, &Arc<arrow_schema::Field>)| {
        let array = cast(array, field.data_type())?;
        if let DataType::Decimal128(DECIMAL128_MAX_PRECISION, _) = array.data_type() {
            let decimals = array.as_primitive::<Decimal128Type>();
            decimals.validate_decimal_precision(DECIMAL128_MAX_PRECISION)?;
        }
        Ok(array)
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(column);
    let columns = columns.collect::<std::result::Result<Vec<_>, ArrowError>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
