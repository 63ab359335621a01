//! Joins in any memory: both sides are sorted, which can go on in files.

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};

/// Joins by sorting what the planner would join by a hash table, as it always would
/// where there is one partition. It goes before the rules that add the sorts.
#[derive(Debug)]
pub(super) struct SortedJoins;

impl PhysicalOptimizerRule for SortedJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sorted = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<HashJoinExec>() {
            // NOT IN knows what NULL means, and a sorted join does not.
            Some(join) if !join.null_aware && !join.contains_projection() => {
                let join: Arc<dyn ExecutionPlan> = Arc::new(SortMergeJoinExec::try_new(
                    Arc::clone(join.left()),
                    Arc::clone(join.right()),
                    join.on().to_vec(),
                    join.filter().cloned(),
                    *join.join_type(),
                    vec![Default::default(); join.on().len()],
                    join.null_equality(),
                )?);
                Ok(Transformed::yes(join))
            }
            _ => Ok(Transformed::no(node)),
        };
        plan.transform_up(sorted).data()
    }

    fn name(&self) -> &str {
        "SortedJoins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
