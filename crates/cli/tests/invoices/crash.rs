//! B32: killed at any moment, a run loses nothing and doubles nothing.

use std::time::{Duration, Instant};

use kiln_testkit::Row;
use rustix::process::Signal;
use tokio::sync::OnceCell;

use crate::books::{Books, assert_consistent};
use crate::input::{self, PART};
use crate::shop::{On, Shop, send, wait};

pub(crate) const CHUNK: u32 = 1_000;
pub(crate) const CHUNKS: u64 = PART / CHUNK as u64;

/// What an undisturbed run leaves behind, and how long it took.
pub(crate) async fn undisturbed(on: On) -> Option<&'static (Books, Duration)> {
    static SQLITE: OnceCell<(Books, Duration)> = OnceCell::const_new();
    static POSTGRES: OnceCell<(Books, Duration)> = OnceCell::const_new();
    static MYSQL: OnceCell<(Books, Duration)> = OnceCell::const_new();
    let file = input::part()?;
    let cell = match on {
        On::Sqlite => &SQLITE,
        On::Postgres => &POSTGRES,
        On::Mysql => &MYSQL,
    };
    let run = async || {
        let shop = Shop::new(on, file, Some(CHUNK)).await;
        let began = Instant::now();
        let report = shop.run(&[]).expect(0);
        let took = began.elapsed();
        assert_eq!(report["chunks"], CHUNKS);
        let books = Books::of(&shop).await;
        let (rows, dead) = books.size();
        assert!(rows as u64 > PART / 2 && dead > 0, "{rows} rows, {dead} dead letters");
        (books, took)
    };
    Some(cell.get_or_init(run).await)
}

/// Dies at a point of the first, a middle and the last chunk, each time on a
/// fresh database; then once more at the same point of what is left.
async fn dies_at(on: On, point: &str) {
    let (Some((expected, _)), Some(file)) = (undisturbed(on).await, input::part()) else { return };
    for chunk in [1, CHUNKS / 2, CHUNKS] {
        let what = format!("{point} of chunk {chunk} on {on:?}");
        let shop = Shop::new(on, file, Some(CHUNK)).await;
        shop.crash(&format!("{point}:{chunk}"));
        let committed = if point == "committed" { chunk } else { chunk - 1 };
        assert_eq!(shop.done().await, committed * u64::from(CHUNK), "{what}");
        assert_consistent(&shop, &what).await;
        if committed < CHUNKS {
            shop.crash(&format!("{point}:1"));
            assert_consistent(&shop, &what).await;
        }
        let report = shop.run(&[]).expect(0);
        assert_eq!(report["items_read"], PART, "{what}");
        Books::of(&shop).await.assert_same(expected, &what);
    }
}

macro_rules! dies_at {
    ($($name:ident: $on:ident, $point:literal;)+) => { $(
        #[tokio::test]
        async fn $name() {
            dies_at(On::$on, $point).await;
        }
    )+ };
}

dies_at! {
    killed_before_the_transaction_on_sqlite: Sqlite, "begin";
    killed_in_the_middle_of_a_write_on_sqlite: Sqlite, "write";
    killed_behind_the_mark_on_sqlite: Sqlite, "mark";
    killed_before_commit_on_sqlite: Sqlite, "commit";
    killed_behind_commit_on_sqlite: Sqlite, "committed";
    killed_before_the_transaction_on_postgres: Postgres, "begin";
    killed_in_the_middle_of_a_write_on_postgres: Postgres, "write";
    killed_behind_the_mark_on_postgres: Postgres, "mark";
    killed_before_commit_on_postgres: Postgres, "commit";
    killed_behind_commit_on_postgres: Postgres, "committed";
    killed_before_the_transaction_on_mysql: Mysql, "begin";
    killed_in_the_middle_of_a_write_on_mysql: Mysql, "write";
    killed_behind_the_mark_on_mysql: Mysql, "mark";
    killed_before_commit_on_mysql: Mysql, "commit";
    killed_behind_commit_on_mysql: Mysql, "committed";
}

/// Numbers that look random and come again from the same seed: splitmix64.
struct Random(u64);

impl Random {
    /// The seed is told, and taken from `KILN_SEED` where that is set.
    fn seeded(what: &str) -> Self {
        let given = std::env::var("KILN_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        println!("{what}: KILN_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        limit.mul_f64(((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// Kills the binary 30 times at random moments; each time the next start goes on,
/// and when a run comes through, a fresh one begins.
async fn killed_at_random(on: On) {
    let (Some((expected, took)), Some(file)) = (undisturbed(on).await, input::part()) else {
        return;
    };
    let mut random = Random::seeded(&format!("random kills on {on:?}"));
    let (mut kills, mut useful) = (0, 0);
    while kills < 30 {
        let shop = Shop::new(on, file, Some(CHUNK)).await;
        let mut before = 0;
        loop {
            let child = shop.command(&[]).spawn().unwrap();
            // The moment is what is random; nothing waits for anything here.
            std::thread::sleep(random.below(*took));
            send(&child, Signal::KILL);
            let ended = wait(child);
            if !ended.is_killed() {
                ended.expect(0);
                break;
            }
            kills += 1;
            let what = format!("kill {kills} on {on:?}");
            assert_consistent(&shop, &what).await;
            let done = shop.done().await;
            assert!(done >= before, "{what}: the mark went back from {before} to {done}");
            useful += u32::from(done > before);
            before = done;
            if kills == 30 {
                break;
            }
        }
        shop.run(&[]).expect(0);
        Books::of(&shop).await.assert_same(expected, &format!("after {kills} kills on {on:?}"));
    }
    assert!(useful > 0, "no kill came while chunks were committed");
}

#[tokio::test]
async fn killed_thirty_times_on_sqlite() {
    killed_at_random(On::Sqlite).await;
}

#[tokio::test]
async fn killed_thirty_times_on_postgres() {
    killed_at_random(On::Postgres).await;
}

#[tokio::test]
async fn killed_thirty_times_on_mysql() {
    killed_at_random(On::Mysql).await;
}

/// Most that one transaction may sell in the strict shop.
const MOST: u32 = 60;

/// A shop whose database refuses large quantities.
async fn strict(on: On) -> Option<Shop> {
    let shop = Shop::new(on, input::part()?, Some(CHUNK)).await;
    shop.set_up();
    let rule = match on {
        On::Sqlite => format!(
            "CREATE TRIGGER few BEFORE INSERT ON transactions WHEN NEW.quantity > {MOST}
             BEGIN SELECT RAISE(ABORT, 'too many'); END"
        ),
        On::Postgres | On::Mysql => {
            format!("ALTER TABLE transactions ADD CONSTRAINT few CHECK (quantity <= {MOST})")
        }
    };
    shop.database.execute(&rule).await;
    Some(shop)
}

/// B19, B24: killed while bad items are taken out of a chunk, nothing is lost
/// and nothing doubled.
async fn dies_in_isolation(on: On) {
    let Some(shop) = strict(on).await else { return };
    let units = shop.run(&[]).expect(0)["chunks"].as_u64().unwrap();
    let expected = Books::of(&shop).await;
    let refused =
        format!("SELECT count(*) FROM {} WHERE stage = 'write'", shop.ledger("dead_letters"));
    let refused: u64 = shop.database.value(&refused).await.parse().unwrap();
    let too_many = undisturbed(on).await.unwrap().0.more_than(MOST);
    assert_eq!(refused, too_many, "each item that breaks the rule is a dead letter");
    assert!(refused > 2 * CHUNKS, "only {refused} items are refused");

    for point in ["begin", "write", "mark", "commit", "committed"] {
        let shop = strict(on).await.unwrap();
        // Dying in the same place each time, each start gets further: few tries
        // go before the next commit. The mark lies in the middle of a chunk now
        // and then.
        let at = format!("{point}:{}", units / 5);
        let mut deaths = 0;
        loop {
            let what = format!("{at} in isolation on {on:?}");
            let before = shop.done().await;
            let ended = wait(shop.command(&[]).env("KILN_CRASH_AT", &at).spawn().unwrap());
            assert_consistent(&shop, &what).await;
            if !ended.is_killed() {
                ended.expect(0);
                break;
            }
            deaths += 1;
            let done = shop.done().await;
            assert!(done > before, "{what}: the mark went from {before} to {done}");
        }
        assert!(deaths > 1, "{point} on {on:?}: it died {deaths} times");
        Books::of(&shop).await.assert_same(&expected, &format!("{point} on {on:?}"));
    }
}

impl Books {
    fn more_than(&self, most: u32) -> u64 {
        let quantity = |row: &Row| row[3].as_deref().unwrap().parse::<i64>().unwrap();
        self.transactions().iter().filter(|row| quantity(row) > i64::from(most)).count() as u64
    }
}

#[tokio::test]
async fn killed_in_isolation_on_sqlite() {
    dies_in_isolation(On::Sqlite).await;
}

#[tokio::test]
async fn killed_in_isolation_on_postgres() {
    dies_in_isolation(On::Postgres).await;
}

#[tokio::test]
async fn killed_in_isolation_on_mysql() {
    dies_in_isolation(On::Mysql).await;
}
