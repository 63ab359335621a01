//! Queries over files: what they give, what they refuse, and what they leave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

mod common;
mod memory;
mod refusals;
mod results;
mod staging;

use kiln_testkit::suites::source::Make;

use common::Files;

async fn joined() -> Box<Make> {
    let orders: String = (1..=40).map(|n| format!("{n},{},{n}.50\n", n % 7)).collect();
    let files = Files::new(&[
        ("orders", &format!("id,customer,total\n{orders}")),
        ("customers", "id,name\n0,Zoë\n1,\"A, B\"\n2,\n3,x\n4,x\n5,\"two\nlines\"\n6,y\n"),
    ]);
    Box::new(move || {
        Box::new(files.query(
            "SELECT o.id, c.name, o.total, sum(o.total) OVER (PARTITION BY c.id ORDER BY o.id) AS sum
             FROM orders o JOIN customers c ON c.id = o.customer ORDER BY c.name",
        ))
    })
}

mod suite {
    kiln_testkit::source_suite!(super::joined);
}
