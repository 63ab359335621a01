//! Fault 33: behind a pooler in transaction mode, where each transaction may be
//! in another session.

use kiln_testkit::Pooler;
use rustix::process::Signal;

use crate::books::{Books, assert_consistent};
use crate::crash::{CHUNK, CHUNKS, undisturbed};
use crate::input::{self, PART};
use crate::shop::{On, Shop, send, wait};

#[tokio::test]
async fn killed_and_resumed_behind_a_pooler() {
    let (Some((expected, _)), Some(file)) = (undisturbed(On::Postgres).await, input::part()) else {
        return;
    };
    let mut shop = Shop::new(On::Postgres, file, Some(CHUNK)).await;
    let pooler = Pooler::start(&shop.database.url);
    shop.database.url = pooler.url(&shop.database.url).await;
    let mut before = 0;
    for point in ["begin", "write", "mark", "commit", "committed"] {
        shop.crash(&format!("{point}:{}", 1 + CHUNKS / 10));
        assert_consistent(&shop, point).await;
        let done = shop.done().await;
        assert!(done > before && done < PART, "{point}: the mark went from {before} to {done}");
        before = done;
    }
    let mut child = shop.command(&[]).spawn().unwrap();
    shop.under_way(&mut child).await;
    send(&child, Signal::KILL);
    assert!(wait(child).is_killed());
    assert_consistent(&shop, "killed at some moment").await;
    assert_eq!(shop.run(&[]).expect(0)["items_read"], PART);
    Books::of(&shop).await.assert_same(expected, "behind a pooler");
}
