//! The way to a server: its URL, connections, and the set-up script.
//!
//! A URL, the environment and the password file become [`Settings`]; [`dial`]
//! opens a stream to one of its places, encrypted as it should be, and
//! [`login`] makes a session of it.

mod dial;
mod login;
mod password_file;
mod script;
mod settings;
mod silence;
mod stream;
mod surroundings;
mod tls;
mod tls_fault;
mod url;
mod verifier;

use std::time::Duration;

use kiln_core::{Fault, Kind, Result};
use tokio::sync::Mutex;
use tokio_postgres::Client;

use super::BEGIN;
use super::fault::fault;
use super::transaction::LEAVE_LEDGER_OUT;
use crate::database::Script;
use dial::Way;
pub(super) use settings::ChannelBinding;
use settings::{Place, Settings, Target};
pub(super) use stream::Stream;
use surroundings::Surroundings;
use tls::Tls;

/// A database on a server.
pub(super) struct Server {
    settings: Settings,
    tls: Tls,
    url: String,
    begin: String,
    /// How the last session was made.
    route: Mutex<Route>,
    script: Option<Script>,
    is_set_up: Mutex<bool>,
}

/// A place, by its number, and a way to speak to it.
#[derive(Debug, Clone, Copy)]
struct Route {
    place: usize,
    way: Way,
}

/// What a session is begun with.
#[derive(Debug)]
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) database: &'a str,
    pub(super) password: Option<&'a str>,
    pub(super) application_name: &'a str,
    /// Options for the server's command line, such as `-c work_mem=64MB`.
    pub(super) options: Option<&'a str>,
    pub(super) channel_binding: ChannelBinding,
}

impl Server {
    pub(super) fn new(url: &str, script: Option<Script>) -> Result<Self> {
        let settings = Settings::read(url, &Surroundings::of_process())?;
        let begin = match settings.user.as_str() {
            "kiln" => format!("{BEGIN}; {LEAVE_LEDGER_OUT}"),
            _ => BEGIN.to_owned(),
        };
        let places: Vec<String> = settings.places.iter().map(Place::to_string).collect();
        let (user, database) = (&settings.user, &settings.database);
        Ok(Self {
            url: format!("postgres://{user}@{}/{database}", places.join(",")),
            tls: Tls::new(&settings)?,
            begin,
            route: Mutex::new(Route { place: 0, way: settings.place(0)?.ways().0 }),
            settings,
            script,
            is_set_up: Mutex::new(false),
        })
    }

    /// The URL without what is secret.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The set-up script's name.
    pub(super) fn script(&self) -> Option<&str> {
        self.script.as_ref().map(|s| s.name.as_str())
    }

    /// The statements that begin a transaction, in which a session means what
    /// kiln means; nothing else of the session matters.
    pub(super) fn begin(&self) -> &str {
        &self.begin
    }

    /// How long a statement may take, and the server be silent.
    pub(super) fn patience(&self) -> Duration {
        self.settings.answer_timeout
    }

    /// A stream to the server on which nothing has been said yet, encrypted if
    /// it should be, and what to log in with. It goes where the last
    /// [`connect`](Self::connect) went: of several servers to the one that is
    /// meant.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] if nobody answers, [`Kind::Config`] if the server
    /// is not the one that it should be.
    pub(super) async fn dial(&self) -> Result<(Stream, Login<'_>)> {
        let Route { place, way } = *self.route.lock().await;
        let place = self.settings.place(place)?;
        let stream = dial::dial(&self.settings, &self.tls, place, way).await?;
        Ok((stream, self.login(place)))
    }

    fn login<'a>(&'a self, place: &'a Place) -> Login<'a> {
        Login {
            user: &self.settings.user,
            database: &self.settings.database,
            password: place.password.as_ref().map(|p| p.0.as_str()),
            application_name: &self.settings.application_name,
            options: self.settings.options.as_deref(),
            channel_binding: self.settings.channel_binding,
        }
    }

    /// A new session, in no transaction, on the first server that is reached and
    /// is what is wanted.
    pub(super) async fn connect(&self) -> Result<Client> {
        let mut unreached: Vec<Fault> = Vec::new();
        for wanted in login::wanted(self.settings.target) {
            for place in 0..self.settings.places.len() {
                match self.connect_to(place, *wanted).await {
                    Err(fault) if fault.kind() == Kind::Unreachable => unreached.push(fault),
                    answer => return answer,
                }
            }
        }
        Err(none_of(unreached))
    }

    async fn connect_to(&self, place: usize, wanted: Target) -> Result<Client> {
        let (first, second) = self.settings.place(place)?.ways();
        let refused = match self.log_in(Route { place, way: first }, wanted).await {
            Err(fault) if login::may_be_for_encryption(&fault) => fault,
            answer => return answer,
        };
        let Some(way) = second else { return Err(refused) };
        match self.log_in(Route { place, way }, wanted).await {
            Err(fault) if fault.kind() != Kind::NotPermitted => Err(refused),
            answer => answer,
        }
    }

    async fn log_in(&self, route: Route, wanted: Target) -> Result<Client> {
        let place = self.settings.place(route.place)?;
        let stream = dial::dial(&self.settings, &self.tls, place, route.way).await?;
        let stream = stream.patient(self.patience());
        let session = async {
            let client = self.login(place).begin(place, stream).await?;
            login::check(place, &client, wanted).await?;
            Ok(client)
        };
        let client = dial::in_time(&self.settings, place, session).await?;
        *self.route.lock().await = route;
        Ok(client)
    }

    /// A new connection, in a transaction in which the set-up script has run;
    /// whoever drops it rolls back.
    pub(super) async fn rehearse(&self) -> Result<Client> {
        let client = self.connect().await?;
        client.batch_execute(&self.begin).await.map_err(|e| fault(&e))?;
        let is_set_up = self.is_set_up.lock().await;
        match &self.script {
            Some(script) if !*is_set_up => script::run(&client, script).await?,
            _ => {}
        }
        Ok(client)
    }

    /// Runs the set-up script, unless it has run.
    pub(super) async fn set_up(&self) -> Result<()> {
        let mut is_set_up = self.is_set_up.lock().await;
        if let (Some(script), false) = (&self.script, *is_set_up) {
            let client = self.connect().await?;
            client.batch_execute(&self.begin).await.map_err(|e| fault(&e))?;
            script::run(&client, script).await?;
            let ended = client.batch_execute("COMMIT").await;
            ended.map_err(|e| script::script_fault(script, &e))?;
        }
        *is_set_up = true;
        Ok(())
    }
}

/// What all servers have said.
fn none_of(mut faults: Vec<Fault>) -> Fault {
    let Some(last) = faults.pop() else { return Fault::bug("no server was asked") };
    if faults.is_empty() {
        return last;
    }
    let all = faults.iter().chain([&last]).map(Fault::message).collect::<Vec<_>>().join("; ");
    Fault::new(last.kind(), all).with_hint(last.hint().unwrap_or("are the servers running?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows() {
        let cases = [
            ("postgres://ann:canary@127.0.0.1:5433/d", "postgres://ann@127.0.0.1:5433/d"),
            ("postgres://ann:can%40ary?x@localhost/d", "postgres://ann@localhost:5432/d"),
            ("postgres://localhost/d?user=ann&password=canary", "postgres://ann@localhost:5432/d"),
            ("postgresql:///d?host=/tmp&user=ann", "postgres://ann@/tmp:5432/d"),
        ];
        for (url, expected) in cases {
            assert_eq!(Server::new(url, None).map(|s| s.url).unwrap(), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn what_no_server_said_is_told_of_all() {
        let server = Server::new("postgres://ann@127.0.0.1:1,[::1]:1/d", None).unwrap();
        let fault = server.connect().await.err().unwrap();
        assert_eq!((fault.kind(), fault.is_transient()), (Kind::Unreachable, true));
        for place in ["127.0.0.1:1: ", "[::1]:1: "] {
            assert!(fault.message().contains(place), "{fault}");
        }
    }
}
