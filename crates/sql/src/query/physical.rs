//! How a query is run: in what memory, and where what does not fit is put.

use std::path::Path;
use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::execution::context::{SessionConfig, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, exec_datafusion_err};
use datafusion_expr::LogicalPlan;

use super::joins::SortedJoins;
use super::table::ROWS;

/// What the merge of sorted runs may take of the memory at most, in bytes.
const MERGE: usize = 10 << 20;

/// How tables are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joins {
    /// By a hash table of one side, which must fit into memory.
    Hashed,
    /// By sorting both sides, in any memory.
    Sorted,
}

/// A memory, and a folder for what it does not hold.
pub(super) struct Room {
    state: SessionState,
}

impl Room {
    /// Room for looking at a plan only.
    pub(super) fn to_look() -> Self {
        Self { state: SessionStateBuilder::new().with_config(config(MERGE)).build() }
    }

    pub(super) fn new(memory: usize, spill: &Path, joins: Joins) -> Result<Self> {
        let disk = DiskManagerMode::Directories(vec![spill.to_owned()]);
        let disk =
            DiskManagerBuilder::default().with_mode(disk).with_max_temp_directory_size(u64::MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let mut rules = PhysicalOptimizer::new().rules;
        if joins == Joins::Sorted {
            rules.insert(0, Arc::new(SortedJoins));
        }
        let state = SessionStateBuilder::new()
            .with_config(config(MERGE.min(memory / 8)))
            .with_runtime_env(runtime)
            .with_physical_optimizer_rules(rules)
            .build();
        Ok(Self { state })
    }

    pub(super) fn context(&self) -> Arc<TaskContext> {
        self.state.task_ctx()
    }

    /// The way to run a plan. Walks it by recursion: call it with room on the stack.
    pub(super) fn plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| exec_datafusion_err!("no runtime to plan in: {e}"))?;
        yielding(runtime.block_on(self.state.create_physical_plan(plan))?)
    }
}

/// Makes joins wait now and then for those who ask for an end: of a few rows they
/// make so many that whoever reads them would go on for ever.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrap = |node: Arc<dyn ExecutionPlan>| {
        if node.name().ends_with("JoinExec") {
            let node: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
            return Ok(Transformed::yes(node));
        }
        Ok(Transformed::no(node))
    };
    plan.transform_up(wrap).data()
}

/// One partition: then the order of rows, on which sums of floats depend, follows
/// from the input alone.
fn config(merge: usize) -> SessionConfig {
    SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(ROWS)
        .with_sort_spill_reservation_bytes(merge)
        .with_sort_in_place_threshold_bytes(merge)
        .with_information_schema(false)
}
