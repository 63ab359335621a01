//! B32: killed at any moment, a run loses nothing and doubles nothing.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::on::On;
use crate::process::send;
use crate::random::Random;
use crate::sales::{Sales, ended};

/// So many chunks that most moments of a run are moments of some commit.
const ITEMS: u64 = 2_000;
const CHUNK: u64 = 40;

/// Places at which the process kills itself: see `kiln_core::crash_point`.
const POINTS: [&str; 5] = ["begin", "write", "mark", "commit", "committed"];

/// Kills the binary so many times, at random moments and, every other time, at
/// a random place of a random chunk; the next start goes on. When a run comes
/// through, a fresh one begins.
pub(crate) async fn at_random(on: On, kills: u64) {
    let mut random = Random::seeded(&format!("random kills on {}", on.name()));
    let mut sales = Sales::new(on, ITEMS, CHUNK).await;
    let began = Instant::now();
    sales.run().await.expect(0);
    let took = began.elapsed();
    sales.assert_exact("undisturbed").await;
    sales.afresh().await;

    let (mut killed, mut settled, mut useful) = (0, 0, 0);
    while killed < kills {
        let what = format!("kill {killed} on {}", on.name());
        if start_and_kill(&sales, &mut random, took).await {
            killed += 1;
            sales.assert_consistent(&what).await;
            let now = sales.settled().await;
            assert!(now >= settled, "{what}: the mark went back from {settled} to {now}");
            useful += u64::from(now > settled);
            settled = now;
        } else {
            sales.assert_exact(&what).await;
            sales.afresh().await;
            settled = 0;
        }
    }
    sales.run().await.expect(0);
    sales.assert_exact(&format!("after {kills} kills on {}", on.name())).await;
    assert!(useful * 10 > kills, "only {useful} of {kills} kills came when something had settled");
}

/// Whether it was killed; if not, it is complete.
async fn start_and_kill(sales: &Sales, random: &mut Random, took: Duration) -> bool {
    let mut command = sales.command(&sales.database.url);
    let by_itself = random.below(2) == 0;
    if by_itself {
        let point = POINTS[random.below(POINTS.len() as u64) as usize];
        command.env("KILN_CRASH_AT", format!("{point}:{}", 1 + random.below(ITEMS / CHUNK)));
    }
    let child = command.spawn().unwrap();
    if !by_itself {
        // The moment is what is random; nothing waits for anything here.
        tokio::time::sleep(random.before(took)).await;
        send(&child, Signal::KILL);
    }
    let ended = ended(child).await;
    let is_killed = ended.is_killed();
    if !is_killed {
        ended.expect(0);
    }
    is_killed
}

#[tokio::test]
async fn killed_at_random_on_sqlite() {
    at_random(On::Sqlite, 20).await;
}

#[tokio::test]
async fn killed_at_random_on_postgres() {
    at_random(On::Postgres, 20).await;
}

#[tokio::test]
async fn killed_at_random_on_mysql() {
    at_random(On::Mysql, 20).await;
}
