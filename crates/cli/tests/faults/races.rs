//! B34: of two starts at once one runs; the other says who it is, and since
//! when.

use crate::on::On;
use crate::process::Ended;
use crate::sales::{Sales, ended};

/// So many chunks that the first is still at it when the second comes.
const ITEMS: u64 = 1_000;
const CHUNK: u64 = 10;

/// Starts two at once, so many times, each on an empty database.
pub(crate) async fn two_at_once(on: On, races: u64) {
    let mut sales = Sales::new(on, ITEMS, CHUNK).await;
    let (mut run, mut too_late) = (0, 0);
    while run < races {
        let what = format!("race {run} on {}", on.name());
        sales.afresh().await;
        let (one, other) = (sales.start(), sales.start());
        let (one, other) = tokio::join!(ended(one), ended(other));
        sales.assert_exact(&what).await;
        match [&one, &other].map(|ended| ended.status.success()) {
            [true, false] => assert_held(&other, &what),
            [false, true] => assert_held(&one, &what),
            // On a busy machine one may be done before the other has begun.
            [true, true] => {
                too_late += 1;
                assert!(too_late <= 10 + races / 2, "two starts hardly ever meet");
                continue;
            }
            [false, false] => panic!("{what}: nobody ran: {one:?} {other:?}"),
        }
        run += 1;
    }
}

fn assert_held(ended: &Ended, what: &str) {
    let said = &ended.stderr;
    assert_eq!(ended.status.code(), Some(75), "{what}: {said}");
    // Where the other is done when one asks who it was, nobody holds the run.
    let held = said.contains("held by process ") && said.contains(" since ");
    assert!(held || said.contains("was faster"), "{what}: {said}");
}

#[tokio::test]
async fn of_two_starts_one_runs_on_sqlite() {
    two_at_once(On::Sqlite, 20).await;
}

#[tokio::test]
async fn of_two_starts_one_runs_on_postgres() {
    two_at_once(On::Postgres, 20).await;
}

#[tokio::test]
async fn of_two_starts_one_runs_on_mysql() {
    two_at_once(On::Mysql, 20).await;
}
