//! What the SQL of a query may name: tables, and functions of one row and of many.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow_schema::DataType;
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_window::all_default_window_functions;
use datafusion::functions_window::planner::WindowFunctionPlanner;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use kiln_core::{Fault, Result};

use super::overflow::CheckedPlanner;
use super::table::QueryTable;
use crate::functions::Functions;

static AGGREGATES: LazyLock<HashMap<String, Arc<AggregateUDF>>> = LazyLock::new(|| {
    let named = |f: Arc<AggregateUDF>| {
        let names: Vec<String> = f.aliases().iter().cloned().chain([f.name().into()]).collect();
        names.into_iter().map(move |name| (name, Arc::clone(&f)))
    };
    all_default_aggregate_functions().into_iter().flat_map(named).collect()
});

static WINDOWS: LazyLock<HashMap<String, Arc<WindowUDF>>> = LazyLock::new(|| {
    let named = |f: Arc<WindowUDF>| {
        let names: Vec<String> = f.aliases().iter().cloned().chain([f.name().into()]).collect();
        names.into_iter().map(move |name| (name, Arc::clone(&f)))
    };
    all_default_window_functions().into_iter().flat_map(named).collect()
});

/// The planner's window on the world.
pub(super) struct Context {
    tables: BTreeMap<String, Arc<dyn TableSource>>,
    functions: Functions,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Context {
    pub(super) fn new(tables: &[Arc<QueryTable>]) -> Result<Self> {
        let source = |table: &Arc<QueryTable>| {
            let provider = table.provider().map_err(|e| Fault::bug(e.to_string()))?;
            Ok((table.name.clone(), provider_as_source(Arc::new(provider))))
        };
        let functions = Functions::default();
        let own: [Arc<dyn ExprPlanner>; 3] = [
            Arc::new(CheckedPlanner),
            Arc::new(AggregateFunctionPlanner),
            Arc::new(WindowFunctionPlanner),
        ];
        Ok(Self {
            tables: tables.iter().map(source).collect::<Result<_>>()?,
            planners: functions.get_expr_planners().iter().cloned().chain(own).collect(),
            functions,
        })
    }
}

impl ContextProvider for Context {
    fn get_table_source(
        &self,
        name: TableReference,
    ) -> datafusion_common::Result<Arc<dyn TableSource>> {
        match self.tables.get(name.table()) {
            Some(table) if name.schema().is_none() => Ok(Arc::clone(table)),
            _ => plan_err!("there is no table {name}"),
        }
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get_function_meta(name)
    }
    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        AGGREGATES.get(name).map(Arc::clone)
    }
    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        WINDOWS.get(name).map(Arc::clone)
    }
    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        self.functions.options()
    }
    fn udf_names(&self) -> Vec<String> {
        self.functions.udf_names()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        AGGREGATES.keys().cloned().collect()
    }
    fn udwf_names(&self) -> Vec<String> {
        WINDOWS.keys().cloned().collect()
    }
}
