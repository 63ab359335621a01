//! Faults 6, 7, 10 and 11: the connection fails at each message in turn, until a
//! run never gets so far.

use std::time::{Duration, Instant};

use kiln_core::Kind;
use kiln_testkit::proxy::{Action, Cut, Proxy, Way};
use tokio::task::JoinSet;

use crate::on::On;
use crate::sales::Sales;

/// Few items in few chunks: each of them takes some ten messages. One of the
/// items is refused, so that isolation is cut as well.
const ITEMS: u64 = 40;
const CHUNK: u64 = 10;

/// For how long a run may take, whatever is cut.
const BOUND: Duration = Duration::from_secs(60);

/// After how long the server's host finds that a client is gone that said
/// nothing in the middle of its work; in earnest it takes a minute.
const SILENT: Duration = Duration::from_secs(2);

/// Cuts a run at its first message, then a fresh one `step` messages later, and
/// so on. Gives the number of cuts. What only waits is done many at a time.
async fn at_each(on: On, way: Way, action: Action, for_good: bool, step: u64) -> u64 {
    let hands = if action == Action::BlackHole { 8 } else { 1 };
    let mut all = JoinSet::new();
    for hand in 0..hands {
        let places = (1 + hand * step..).step_by((hands * step) as usize);
        all.spawn(async move { at_these(on, places, way, action, for_good).await });
    }
    // A database goes only when all are done: that waits for every session of the
    // server, those of the other hands too, and keeps this thread from ending them.
    let all = all.join_all().await;
    let cuts = all.iter().map(|(cuts, _)| cuts).sum();
    assert!(cuts > 0, "no message was cut");
    cuts
}

async fn at_these(
    on: On,
    places: impl Iterator<Item = u64>,
    way: Way,
    action: Action,
    for_good: bool,
) -> (u64, Sales) {
    let mut sales = Sales::new(on, ITEMS, CHUNK).await;
    let proxy = Proxy::before(&sales.database.url).await;
    let mut cuts = 0;
    for at in places {
        sales.afresh().await;
        proxy.arm(Cut { way, at, action, for_good });
        let end_silent = async {
            loop {
                tokio::time::sleep(SILENT).await;
                sales.database.execute(on.end_silent()).await;
            }
        };
        let what = format!("{action:?} at message {at} {way:?}, for good: {for_good}, on {on:?}");
        let url = match action {
            Action::BlackHole => format!("{}{}", proxy.url(), on.impatience()),
            _ => proxy.url().to_owned(),
        };
        let met = tokio::select! {
            met = is_survived(&sales, &proxy, &url, &what) => met,
            () = end_silent => unreachable!("it does not end"),
        };
        if !met {
            break;
        }
        cuts += 1;
    }
    (cuts, sales)
}

/// A run that is cut comes through, or ends in time with a fault that says that
/// the database can't be reached; then a later start brings it to its end. In
/// both cases every item came to its one end. False if it was never cut.
async fn is_survived(sales: &Sales, proxy: &Proxy, url: &str, what: &str) -> bool {
    let mut complete = comes_through(sales, url, what).await;
    let is_met = proxy.is_met();
    // On a busy machine an impatient client gives up by itself.
    let may_fail = is_met || url != proxy.url();
    assert!(complete || may_fail, "{what}: it was not cut, and yet did not come through");
    proxy.mend();
    let began = Instant::now();
    while !complete {
        // What a lost session holds may be in the way until it is ended.
        assert!(began.elapsed() < BOUND, "{what}: no start comes through");
        sales.assert_consistent(what).await;
        sales.end_lease().await;
        complete = comes_through(sales, url, &format!("{what}, started again")).await;
    }
    sales.assert_exact(what).await;
    is_met
}

/// Whether a run completes; if not, the way to the database is why.
async fn comes_through(sales: &Sales, url: &str, what: &str) -> bool {
    let ended = tokio::time::timeout(BOUND, sales.work(url)).await;
    match ended.unwrap_or_else(|_| panic!("{what}: it does not end")) {
        Ok(_) => true,
        Err(fault) => {
            assert_eq!(fault.kind(), Kind::Unreachable, "{what}: {fault:?}");
            false
        }
    }
}

/// All ways to cut, at every message. A database without a connection has none.
pub(crate) async fn at_every_message(on: On) -> u64 {
    if on == On::Sqlite {
        return 0;
    }
    let mut cuts = 0;
    for (way, action, for_good) in [
        (Way::ToServer, Action::Drop, false),
        (Way::ToClient, Action::Drop, false),
        (Way::ToServer, Action::LoseReply, false),
        (Way::ToServer, Action::Drop, true),
        (Way::ToServer, Action::LoseReply, true),
        (Way::ToServer, Action::BlackHole, false),
    ] {
        cuts += at_each(on, way, action, for_good, 1).await;
    }
    cuts
}

/// In the short form one message in so many is cut, a prime so that all kinds of
/// messages get their turn.
const STEP: u64 = 19;

macro_rules! at_each {
    ($($name:ident: $on:ident, $way:ident, $action:ident, $for_good:literal;)+) => { $(
        #[tokio::test]
        async fn $name() {
            at_each(On::$on, Way::$way, Action::$action, $for_good, STEP).await;
        }
    )+ };
}

at_each! {
    reset_at_a_request_on_postgres: Postgres, ToServer, Drop, false;
    reset_at_an_answer_on_postgres: Postgres, ToClient, Drop, false;
    reset_behind_a_request_on_postgres: Postgres, ToServer, LoseReply, false;
    reset_at_a_request_for_good_on_postgres: Postgres, ToServer, Drop, true;
    reset_behind_a_request_for_good_on_postgres: Postgres, ToServer, LoseReply, true;
    silent_from_a_request_on_on_postgres: Postgres, ToServer, BlackHole, false;
    silent_from_an_answer_on_on_postgres: Postgres, ToClient, BlackHole, false;
    silent_for_good_on_postgres: Postgres, ToServer, BlackHole, true;
    reset_at_a_request_on_mysql: Mysql, ToServer, Drop, false;
    reset_at_an_answer_on_mysql: Mysql, ToClient, Drop, false;
    reset_behind_a_request_on_mysql: Mysql, ToServer, LoseReply, false;
    reset_at_a_request_for_good_on_mysql: Mysql, ToServer, Drop, true;
    reset_behind_a_request_for_good_on_mysql: Mysql, ToServer, LoseReply, true;
    silent_from_a_request_on_on_mysql: Mysql, ToServer, BlackHole, false;
    silent_from_an_answer_on_on_mysql: Mysql, ToClient, BlackHole, false;
    silent_for_good_on_mysql: Mysql, ToServer, BlackHole, true;
}

/// The same with the binary, at a few places of its run: it retries with its own
/// patience, and says by its exit code what became of it.
async fn by_the_binary(on: On) {
    let mut sales = Sales::with(on, ITEMS, CHUNK, "[limits]\nretries = 2\n").await;
    let proxy = Proxy::before(&sales.database.url).await;
    sales.run_by(proxy.url()).await.expect(0);
    let messages = proxy.seen(Way::ToServer);
    const PLACES: u64 = 5;
    for (action, for_good) in [(Action::LoseReply, false), (Action::Drop, true)] {
        for place in 1..=PLACES {
            let at = messages * place / (PLACES + 1);
            let what = format!("{action:?} at message {at}, for good: {for_good}, on {on:?}");
            sales.afresh().await;
            proxy.arm(Cut { way: Way::ToServer, at, action, for_good });
            let first = sales.run_by(proxy.url()).await;
            assert!(proxy.is_met(), "{what}: it never came so far");
            match first.status.code() {
                Some(0) if !for_good => {}
                Some(69) => {}
                code => panic!("{what}: {code:?}: {}", first.stderr),
            }
            proxy.mend();
            sales.assert_consistent(&what).await;
            sales.run_by(proxy.url()).await.expect(0);
            sales.assert_exact(&what).await;
        }
    }
}

#[tokio::test]
async fn the_binary_is_cut_on_postgres() {
    by_the_binary(On::Postgres).await;
}

#[tokio::test]
async fn the_binary_is_cut_on_mysql() {
    by_the_binary(On::Mysql).await;
}
