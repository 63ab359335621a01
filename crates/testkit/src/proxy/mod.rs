//! A way to a server that breaks where a test says.
//!
//! ```text
//! client ──▶ [`Proxy`] ──▶ server      the messages of all connections are counted,
//!        ◀──           ◀──             each direction for itself; at the Nth: a [`Cut`]
//! ```
//!
//! It knows where messages begin and end, the start-up phase included, and
//! nothing of what they mean; so a test can fail each message of a run in turn,
//! until a run never reaches the Nth. A connection that turns to TLS or
//! compression is forwarded as it comes, and not counted.
//!
//! ```text
//! let proxy = Proxy::before(&database.url).await;
//! proxy.arm(Cut::once(Way::ToServer, 17, Action::LoseReply));
//! … run against proxy.url() …
//! assert!(proxy.is_met());
//! proxy.mend();
//! ```

mod framing;
mod relay;
mod state;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use framing::Protocol;
use state::State;

/// In which direction a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// What becomes of the message, and of the connection that it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It does not arrive, and the connection is reset.
    Drop,
    /// It arrives, and nothing behind it: the client loses its connection, the
    /// server does all that it was sent.
    LoseReply,
    /// It does not arrive, nor does anything behind it in either direction, and
    /// nobody is told.
    BlackHole,
    /// It arrives this much later, and whatever is behind it.
    Delay(std::time::Duration),
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Whose messages are counted.
    pub way: Way,
    /// At which of them it happens, counted from 1 over all connections.
    pub at: u64,
    /// What happens.
    pub action: Action,
    /// Whether every connection is cut from then on, those to come too, until
    /// [`Proxy::mend`].
    pub for_good: bool,
}

impl Cut {
    /// Once: whoever connects again finds everything in order.
    pub fn once(way: Way, at: u64, action: Action) -> Self {
        Self { way, at, action, for_good: false }
    }

    /// For good: there is no server any more.
    pub fn for_good(way: Way, at: u64, action: Action) -> Self {
        Self { way, at, action, for_good: true }
    }
}

/// A way to a server, on a port of its own. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A way to the server that a URL names (`scheme://user@host:port/database`).
    ///
    /// # Panics
    /// If the URL has no user, port or database, or a scheme that is not known.
    pub async fn before(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL with a scheme");
        let (user, place) = rest.rsplit_once('@').expect("a URL with a user");
        let (server, database) = place.split_once('/').expect("a URL with a database");
        let protocol = Protocol::of_scheme(scheme);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let url = format!("{scheme}://{user}@127.0.0.1:{port}/{database}");
        let state = Arc::new(State::default());
        let accepting =
            tokio::spawn(relay::accept(listener, server.to_owned(), protocol, Arc::clone(&state)));
        Self { url, state, accepting }
    }

    /// The URL of the same database, this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Counts from 1 again, and cuts there.
    pub fn arm(&self, cut: Cut) {
        self.state.arm(Some(cut));
    }

    /// From now on, puts another text in the place of the first that comes this
    /// way, once; a message that holds it is found wherever the text stands in
    /// it, and stays a message.
    pub fn replace(&self, way: Way, text: &'static str, by: &'static str) {
        self.state.replace(way, text, by);
    }

    /// Cuts nothing any more, and counts from 1 again. What is cut stays so;
    /// new connections are let through.
    pub fn mend(&self) {
        self.state.arm(None);
    }

    /// Whether the message at which to cut, or that to be changed, has come by.
    pub fn is_met(&self) -> bool {
        self.state.is_met()
    }

    /// How many messages have gone this way since counting began.
    pub fn seen(&self, way: Way) -> u64 {
        self.state.seen(way)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.end();
    }
}
