//! The answer to COMMIT is lost, and the mark tells what became of it.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kiln_core::{Landed, Mode};

use super::*;

/// A way to the server that comes to its end once it is armed.
pub(crate) struct Way {
    armed: Arc<AtomicBool>,
    pub(crate) url: String,
}

/// What becomes of the way.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// It is cut at the first COMMIT, which still gets there.
    Delivers,
    /// It is cut at the first COMMIT.
    Loses,
    /// Nothing gets there any more, and nobody is told.
    IsDark,
}

impl Way {
    pub(crate) fn into_the_dark(url: &str) -> Self {
        Self::new(url, End::IsDark)
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// To the server of `url`.
    fn new(url: &str, end: End) -> Self {
        let (user, place) = url.rsplit_once('@').expect("a URL with a user");
        let (server, database) = place.split_once('/').expect("a URL with a database");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let armed = Arc::new(AtomicBool::new(false));
        let (server, cut) = (server.to_owned(), Arc::clone(&armed));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let (mut answers, mut back) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut answers, &mut back));
                let cut = Arc::clone(&cut);
                thread::spawn(move || forward(client, server, &cut, end));
            }
        });
        Self { armed, url: format!("{user}@127.0.0.1:{port}/{database}") }
    }
}

fn forward(mut client: TcpStream, mut server: TcpStream, cut: &AtomicBool, end: End) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        if end == End::IsDark && cut.load(Ordering::SeqCst) {
            continue;
        }
        let is_commit = buffer[..n].windows(7).any(|w| w == b"COMMIT\0");
        if end != End::IsDark && is_commit && cut.swap(false, Ordering::SeqCst) {
            client.shutdown(Shutdown::Both).unwrap();
            if end == End::Delivers {
                server.write_all(&buffer[..n]).unwrap();
            }
            let _ = server.shutdown(Shutdown::Write);
            return;
        }
        if server.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

async fn lose_the_answer(delivers: bool) {
    let (server, _) = shop("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)").await;
    let end = if delivers { End::Delivers } else { End::Loses };
    let way = Way::new(&server.url, end);
    let database = connect(&way.url, None).await.unwrap();
    let rows = |id| batch(vec![("id", ints([1])), ("n", ints([id]))]);
    let writes = [write("t", Mode::Increment, &["id", "n"], &["id"])];
    let items = rows(1).schema();
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &items).await;
    commit(&mut lane, &unit(0, vec![rows(1)])).await;

    way.arm();
    match settle(&mut lane, &unit(1, vec![rows(10)])).await {
        Settled::Unknown(fault) => {
            assert!(fault.is_transient(), "{fault:?}");
            assert_eq!(fault.landed(), Landed::Unknown);
        }
        other => panic!("{other:?}"),
    }
    let (mut lane, mark) = open(&database, &key("r", 1), &writes, &items).await;
    assert_eq!(mark.done, if delivers { 2 } else { 1 });
    commit(&mut lane, &unit(mark.done, vec![rows(100)])).await;
    let sum = if delivers { "111" } else { "101" };
    assert_eq!(server.value("SELECT n FROM t").await, sum);
}

#[tokio::test]
async fn a_commit_that_landed_is_not_done_again() {
    lose_the_answer(true).await;
}

#[tokio::test]
async fn a_commit_that_never_got_there_left_nothing() {
    lose_the_answer(false).await;
}
