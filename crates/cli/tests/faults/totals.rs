//! The long form of what is counted: `just faults`, with one line a database.

use std::time::Instant;

use crate::on::On;
use crate::{cuts, kills, races};

const KILLS: u64 = 500;
const RACES: u64 = 100;

/// Everything at once, as each alone leaves the machine time to spare. Whatever
/// is lost or doubled ends it there and then.
async fn long_form(on: On) {
    let began = Instant::now();
    let (killed, cut, raced) = tokio::join!(
        tokio::spawn(kills::at_random(on, KILLS)),
        tokio::spawn(cuts::at_every_message(on)),
        tokio::spawn(races::two_at_once(on, RACES)),
    );
    killed.unwrap();
    raced.unwrap();
    println!(
        "{}: {KILLS} kills, {} cut points, {RACES} races: 0 lost, 0 doubled ({} s)",
        on.name(),
        cut.unwrap(),
        began.elapsed().as_secs()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: just faults"]
async fn long_form_on_sqlite() {
    long_form(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: just faults"]
async fn long_form_on_postgres() {
    long_form(On::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: just faults"]
async fn long_form_on_mysql() {
    long_form(On::Mysql).await;
}
