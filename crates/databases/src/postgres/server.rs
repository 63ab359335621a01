//! The way to a server: its URL, connections, and the set-up script.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use kiln_core::{Fault, Kind, Result};
use tokio::sync::Mutex;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error, NoTls};

use super::BEGIN;
use super::fault::fault;
use crate::database::Script;

/// How long the server may take to answer a connection, and to acknowledge what
/// it was sent, if the URL says nothing else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two that set the same database up follow each other.
const SET_UP_LOCK: i64 = 0x6b69_6c6e_0001;

/// Whoever looks waits for no lock for ever. EXECUTE refuses a script that
/// would end the transaction it runs in.
const RUN_SCRIPT: &str = "SET LOCAL lock_timeout = '30s'; \
     DO $kiln$ BEGIN EXECUTE pg_catalog.current_setting('kiln.script'); END $kiln$";

/// PostgreSQL looks first for a schema that is called like the user. For a user
/// called like the ledger's schema that would be the ledger: the job's tables
/// would be found in one place before the ledger is made and in another after.
const LEAVE_LEDGER_OUT: &str = "\
SELECT pg_catalog.set_config('search_path', coalesce(
    (SELECT string_agg(pg_catalog.quote_ident(s), ', ' ORDER BY n)
     FROM unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u (s, n)
     WHERE s <> 'kiln'), ''), false)";

/// A database on a server.
pub(super) struct Server {
    config: Config,
    url: String,
    script: Option<Script>,
    is_set_up: Mutex<bool>,
}

impl Server {
    pub(super) fn new(url: &str, script: Option<Script>) -> Result<Self> {
        refuse_verified(url)?;
        let mut config: Config = url.parse().map_err(|e: Error| {
            let why =
                std::error::Error::source(&e).map_or_else(|| e.to_string(), |s| s.to_string());
            Fault::config(format!("the URL of the PostgreSQL database can't be read: {why}"))
                .with_hint("write it as postgres://user:password@host:5432/database")
        })?;
        refuse_odd_host(&config)?;
        refuse_plain(&config)?;
        config.application_name(config.get_application_name().unwrap_or("kiln").to_owned());
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(PATIENCE);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(PATIENCE);
        }
        config.keepalives_idle(config.get_keepalives_idle().min(PATIENCE));
        let url = shown(&config);
        Ok(Self { config, url, script, is_set_up: Mutex::new(false) })
    }

    /// The URL without what is secret.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The set-up script's name.
    pub(super) fn script(&self) -> Option<&str> {
        self.script.as_ref().map(|s| s.name.as_str())
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Client> {
        // The driver's own limit ends once something accepts the connection.
        let patience = self.config.get_connect_timeout().copied().unwrap_or(PATIENCE);
        let (client, connection) = tokio::time::timeout(patience, self.config.connect(NoTls))
            .await
            .map_err(|_| self.unreachable("it does not answer"))?
            .map_err(|e| self.no_connection(&e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %fault(&error), "a connection to PostgreSQL ended");
            }
        });
        if self.config.get_user() == Some("kiln") {
            client.batch_execute(LEAVE_LEDGER_OUT).await.map_err(|e| fault(&e))?;
        }
        Ok(client)
    }

    /// A new connection, in a transaction in which the set-up script has run;
    /// whoever drops it rolls back.
    pub(super) async fn rehearse(&self) -> Result<Client> {
        let client = self.connect().await?;
        client.batch_execute(BEGIN).await.map_err(|e| fault(&e))?;
        let is_set_up = self.is_set_up.lock().await;
        match &self.script {
            Some(script) if !*is_set_up => run(&client, script).await?,
            _ => {}
        }
        Ok(client)
    }

    /// Runs the set-up script, unless it has run.
    pub(super) async fn set_up(&self) -> Result<()> {
        let mut is_set_up = self.is_set_up.lock().await;
        if let (Some(script), false) = (&self.script, *is_set_up) {
            let client = self.connect().await?;
            client.batch_execute(BEGIN).await.map_err(|e| fault(&e))?;
            run(&client, script).await?;
            client.batch_execute("COMMIT").await.map_err(|e| script_fault(script, &e))?;
        }
        *is_set_up = true;
        Ok(())
    }

    fn no_connection(&self, error: &Error) -> Fault {
        if error.as_db_error().is_some() {
            return fault(error).at(&self.url);
        }
        let cause = std::error::Error::source(error);
        let why = cause.map_or_else(|| error.to_string(), |c| c.to_string());
        if error.to_string() == "invalid configuration" {
            return Fault::new(Kind::NotPermitted, format!("{}: {why}", self.url))
                .with_hint("the server asks for a password; put it into the URL");
        }
        if error.to_string() == "authentication error" {
            return Fault::new(Kind::NotPermitted, format!("{}: {why}", self.url))
                .with_hint("look at user and password in the URL");
        }
        self.unreachable(&why)
    }

    fn unreachable(&self, why: &str) -> Fault {
        let places = places(&self.config);
        Fault::new(Kind::Unreachable, format!("no connection to PostgreSQL at {places}: {why}"))
            .with_hint("is the server running, and are host and port in the URL right?")
    }
}

async fn run(client: &Client, script: &Script) -> Result<()> {
    let run = async {
        let lock = "SELECT pg_catalog.pg_advisory_xact_lock($1)";
        client.query_typed(lock, &[(&SET_UP_LOCK, Type::INT8)]).await?;
        let hand_over = "SELECT pg_catalog.set_config('kiln.script', $1, true)";
        client.query_typed(hand_over, &[(&script.sql, Type::TEXT)]).await?;
        client.batch_execute(RUN_SCRIPT).await
    };
    run.await.map_err(|e| script_fault(script, &e))
}

/// What is wrong with the script, and where in it.
fn script_fault(script: &Script, error: &Error) -> Fault {
    let fault = fault(error);
    let place = match line_in(&script.sql, error) {
        Some(line) => format!("{}:{line}", script.name),
        None => script.name.clone(),
    };
    if fault.kind() != Kind::Item && fault.kind() != Kind::Config {
        return fault.at(format_args!("set-up script {place}"));
    }
    let described = Fault::config(format!("set-up script {place}: {}", fault.message()));
    let described = match fault.code() {
        Some(code) => described.with_code(code),
        None => described,
    };
    match fault.code() {
        Some("0A000" | "2D000") => described.with_hint(
            "leave out BEGIN, COMMIT and the like: kiln runs the script in one transaction",
        ),
        _ => described.with_hint(fault.hint().unwrap_or("mend the script, then try again")),
    }
}

/// The line of the script that an error points at, counted from 1. A statement
/// inside a function of the script has positions of its own and is left out.
fn line_in(sql: &str, error: &Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Internal { position, query } if query == sql => {
            let before = usize::try_from(*position).ok()?.saturating_sub(1);
            Some(1 + sql.chars().take(before).filter(|c| *c == '\n').count())
        }
        _ => None,
    }
}

/// A password with an `@` of its own would be taken for a host, and shown.
fn refuse_odd_host(config: &Config) -> Result<()> {
    let is_odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    if config.get_hosts().iter().any(is_odd) {
        return Err(Fault::config("the URL of the PostgreSQL database has more than one @")
            .with_hint("write an @ in the password as %40"));
    }
    Ok(())
}

/// The modes that check the server's certificate are unknown to the driver; a
/// message that says so helps nobody.
fn refuse_verified(url: &str) -> Result<()> {
    if url.contains("sslmode=verify") { Err(no_encryption("the URL asks for it")) } else { Ok(()) }
}

/// Nothing goes in plain text over a network unless the URL says so.
fn refuse_plain(config: &Config) -> Result<()> {
    match config.get_ssl_mode() {
        SslMode::Disable => Ok(()),
        SslMode::Require => Err(no_encryption("the URL asks for it")),
        _ if is_here(config) => Ok(()),
        _ => Err(no_encryption("the server is on another host")),
    }
}

fn no_encryption(why: &str) -> Fault {
    Fault::config(format!("an encrypted connection to PostgreSQL is not there yet, and {why}"))
        .with_hint("add sslmode=disable to the URL if plain text is what you want")
}

fn is_here(config: &Config) -> bool {
    let by_address = config.get_hostaddrs();
    if !by_address.is_empty() {
        return by_address.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

/// The URL, put together from what is no secret in it.
fn shown(config: &Config) -> String {
    let mut url = "postgres://".to_owned();
    if let Some(user) = config.get_user() {
        let _ = write!(url, "{user}@");
    }
    url.push_str(&places(config));
    if let Some(database) = config.get_dbname() {
        let _ = write!(url, "/{database}");
    }
    url
}

/// The hosts with their ports.
fn places(config: &Config) -> String {
    let ports = config.get_ports();
    let place = |(i, host): (usize, &Host)| {
        let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    };
    config.get_hosts().iter().enumerate().map(place).collect::<Vec<_>>().join(",")
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
            ("postgresql:///d?host=/tmp", "postgres:///tmp:5432/d"),
        ];
        for (url, expected) in cases {
            assert_eq!(Server::new(url, None).map(|s| s.url).unwrap(), expected, "{url}");
        }
        for url in [
            "postgres://ann:can@ary@localhost/d",
            "postgres://ann:canary@localhost:x/d",
            "postgres://ann:canary@localhost/d?y=1",
        ] {
            let fault = Server::new(url, None).err().unwrap();
            let told = format!("{fault:?} {:?}", fault.hint());
            assert!(!told.contains("canary") && !told.contains("ary@"), "{told}");
        }
    }

    #[test]
    fn nothing_goes_in_plain_text_unasked() {
        for url in [
            "postgres://u@127.0.0.1/d?sslmode=require",
            "postgres://u@127.0.0.1/d?sslmode=verify-full",
            "postgres://u@db.example.org/d",
            "postgres://u@127.0.0.1,db.example.org/d",
        ] {
            let fault = Server::new(url, None).err().expect(url);
            assert_eq!(fault.kind(), Kind::Config, "{url}");
            assert!(fault.message().contains("encrypted"), "{fault}");
        }
        for url in ["postgres://u@db.example.org/d?sslmode=disable", "postgres://u@[::1]/d"] {
            Server::new(url, None).map(|_| ()).expect(url);
        }
    }
}
