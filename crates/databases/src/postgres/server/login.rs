//! From a stream to a session of the driver's.

use kiln_core::{Fault, Kind, Result};
use tokio_postgres::config::{self, SslMode, SslNegotiation};
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};

use super::super::fault::fault;
use super::Login;
use super::settings::{ChannelBinding, Place, Target};
use super::stream::{Done, Stream};

impl Login<'_> {
    /// Makes a session of a stream.
    ///
    /// # Errors
    /// [`Kind::NotPermitted`] if the server lets nobody in by this name and
    /// password.
    pub(super) async fn begin(&self, place: &Place, stream: Stream) -> Result<Client> {
        let config = self.config(stream.is_encrypted());
        let begun = config.connect_raw(stream, Done).await;
        let (client, connection) = begun.map_err(|e| no_session(place, &e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %fault(&error), "a connection to PostgreSQL ended");
            }
        });
        Ok(client)
    }

    fn config(&self, encrypted: bool) -> Config {
        let mut config = Config::new();
        config.user(self.user).dbname(self.database).application_name(self.application_name);
        if let Some(password) = self.password {
            config.password(password);
        }
        if let Some(options) = self.options {
            config.options(options);
        }
        config.channel_binding(match self.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
        // The handshake is done: the driver must not ask for one.
        config.ssl_negotiation(SslNegotiation::Direct);
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        config
    }
}

/// What a server must be, in turns.
pub(super) fn wanted(target: Target) -> &'static [Target] {
    match target {
        Target::Any => &[Target::Any],
        Target::ReadWrite => &[Target::ReadWrite],
        Target::ReadOnly => &[Target::ReadOnly],
        Target::Primary => &[Target::Primary],
        Target::Standby => &[Target::Standby],
        Target::PreferStandby => &[Target::Standby, Target::Any],
    }
}

/// Refuses a server that is not what is wanted; another may be.
pub(super) async fn check(place: &Place, client: &Client, wanted: Target) -> Result<()> {
    if wanted == Target::Any {
        return Ok(());
    }
    let sql = "SELECT pg_catalog.pg_is_in_recovery(), \
               pg_catalog.current_setting('transaction_read_only') = 'on'";
    let answer = client.simple_query(sql).await.map_err(|e| fault(&e))?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let is = |column: usize| row.is_some_and(|row| row.get(column) == Some("t"));
    let (standby, read_only) = (is(0), is(1));
    let (fits, what) = match wanted {
        Target::Any | Target::PreferStandby => (true, ""),
        Target::ReadWrite => (!standby && !read_only, "takes no writes"),
        Target::ReadOnly => (standby || read_only, "takes writes"),
        Target::Primary => (!standby, "is a standby"),
        Target::Standby => (standby, "is no standby"),
    };
    if fits {
        return Ok(());
    }
    let told = format!("PostgreSQL at {place} {what}, and target_session_attrs wants another");
    Err(Fault::new(Kind::Unreachable, told)
        .with_hint("name all servers in the URL, or another target_session_attrs"))
}

/// Whether the server may only want to be spoken to in another way: its
/// pg_hba.conf knows connections that are encrypted and such that are not.
/// 28000 is its word for that, 08P01 pgbouncer's.
pub(super) fn may_be_for_encryption(fault: &Fault) -> bool {
    matches!(fault.code(), Some("28000" | "08P01"))
}

fn no_session(place: &Place, error: &Error) -> Fault {
    if error.as_db_error().is_some() {
        return fault(error).at(format_args!("PostgreSQL at {place}"));
    }
    let cause = std::error::Error::source(error);
    let why = cause.map_or_else(|| error.to_string(), |c| c.to_string());
    let refused = |hint: &str| {
        Fault::new(Kind::NotPermitted, format!("PostgreSQL at {place}: {why}")).with_hint(hint)
    };
    match error.to_string().as_str() {
        "invalid configuration" => refused(
            "the server asks for a password: give it in the URL, in PGPASSWORD or in ~/.pgpass",
        ),
        "authentication error" => {
            refused("look at user and password, and at channel_binding in the URL")
        }
        _ => super::dial::unreachable(place, &why),
    }
}
