//! The suites of the contracts, on source and target in memory.

use std::sync::Arc;

use async_trait::async_trait;
use kiln::memory::MemoryTarget;
use kiln::{Catalog, CatalogSpec, Fault, Ledger, Sink};
use kiln_testkit::suites::source::Make;
use kiln_testkit::{Row, TestTarget};

struct Memory(MemoryTarget);

/// As in the databases' tables, no value may be NULL.
async fn fresh() -> Box<dyn TestTarget> {
    let target = MemoryTarget::new().judge(|table, row| {
        let whole = row.iter().all(Option::is_some);
        if whole { Ok(()) } else { Err(Fault::item(format!("{table}: a value is missing"))) }
    });
    Box::new(Memory(target))
}

#[async_trait]
impl TestTarget for Memory {
    fn sink(&self) -> Arc<dyn Sink> {
        self.0.sink()
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.0.ledger()
    }

    fn catalog(&self, _: CatalogSpec) -> Arc<dyn Catalog> {
        panic!("a target in memory has no catalog")
    }

    async fn rows(&self, table: &str) -> Vec<Row> {
        self.0.rows(table)
    }

    async fn again(&self) -> Box<dyn TestTarget> {
        Box::new(Self(self.0.clone()))
    }
}

async fn twelve_numbers() -> Box<Make> {
    Box::new(|| Box::new(crate::common::numbers(12)))
}

async fn torn_numbers() -> Box<Make> {
    let torn = || crate::common::Torn { inner: crate::common::numbers(13), bad: vec![1, 6, 7, 13] };
    Box::new(move || Box::new(torn()))
}

mod source {
    kiln_testkit::source_suite!(super::twelve_numbers);
}

/// Dead letters of a complete run, every fourth of which can't be read again.
async fn dead_letters() -> Box<Make> {
    let letters = crate::dead_letters::all_failed(13).await;
    Box::new(move || Box::new(letters.open()))
}

mod source_of_dead_letters {
    kiln_testkit::source_suite!(super::dead_letters);
}

mod source_with_failures {
    kiln_testkit::source_suite!(super::torn_numbers);
}

mod sink {
    kiln_testkit::sink_suite!(super::fresh);
}

mod ledger {
    kiln_testkit::ledger_suite!(super::fresh);
}
