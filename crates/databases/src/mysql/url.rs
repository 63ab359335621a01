//! What a URL says of a server and how to talk to it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kiln_core::{Fault, Result};
use mysql_async::{Opts, OptsBuilder};

use super::tls::TlsMode;

/// How long a server may take to answer a statement if the URL says nothing
/// else; longer than a statement waits for a lock.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take to answer a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

const PARAMETERS: &str = "ssl-mode, ssl-ca, socket, connect_timeout and timeout";

/// A URL, read.
#[derive(Debug)]
pub(super) struct Address {
    opts: Opts,
    /// The URL for people: without what is secret.
    pub(super) shown: String,
    pub(super) tls: TlsMode,
    /// A file with the authorities to trust instead of the public ones.
    pub(super) authorities: Option<PathBuf>,
    socket: Option<String>,
    /// For an answer.
    pub(super) patience: Duration,
    /// For a connection.
    pub(super) connect_patience: Duration,
}

impl Address {
    /// Reads `mysql://user:password@host:port/database?ssl-mode=…`.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for what is none, and for a
    /// parameter that is not known.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let place = match place.strip_prefix("mariadb://") {
            Some(rest) => format!("mysql://{rest}"),
            None => place.to_owned(),
        };
        let opts = Opts::from_url(&place).map_err(|e| {
            Fault::config(format!("the URL of the MySQL database can't be read: {e}"))
                .with_hint("write it as mysql://user:password@host:3306/database")
        })?;
        let here = is_here(opts.ip_or_hostname());
        let mut address = Self {
            tls: if here { TlsMode::Disabled } else { TlsMode::VerifyIdentity },
            opts,
            shown: String::new(),
            authorities: None,
            socket: None,
            patience: PATIENCE,
            connect_patience: CONNECT_PATIENCE,
        };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            address.set(name, &decoded(value))?;
        }
        address.shown = address.show();
        Ok(address)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "ssl-mode" => self.tls = TlsMode::parse(value)?,
            "ssl-ca" => self.authorities = Some(PathBuf::from(value)),
            "socket" => {
                self.socket = Some(value.to_owned());
                self.tls = TlsMode::Disabled;
            }
            "timeout" => self.patience = seconds(name, value)?,
            "connect_timeout" => self.connect_patience = seconds(name, value)?,
            _ => {
                return Err(Fault::config(format!(
                    "the URL of the MySQL database has an unknown parameter {name:?}"
                ))
                .with_hint(format!("kiln knows {PARAMETERS}")));
            }
        }
        Ok(())
    }

    /// The host's name, by which its certificate is checked.
    pub(super) fn host(&self) -> &str {
        self.opts.ip_or_hostname()
    }

    /// The server, for people.
    pub(super) fn place(&self) -> String {
        match &self.socket {
            Some(socket) => socket.clone(),
            None => format!("{}:{}", self.host(), self.opts.tcp_port()),
        }
    }

    /// What the driver needs. Updates that find a row count it whether or not
    /// they change it, so that a mark that moves is a row found.
    pub(super) fn options(&self) -> OptsBuilder {
        OptsBuilder::from_opts(self.opts.clone())
            .socket(self.socket.clone())
            .prefer_socket(self.socket.is_some())
            .client_found_rows(true)
            .tcp_keepalive(Some(CONNECT_PATIENCE))
            .stmt_cache_size(64)
    }

    fn show(&self) -> String {
        let mut url = "mysql://".to_owned();
        if let Some(user) = self.opts.user() {
            let _ = write!(url, "{user}@");
        }
        url.push_str(&self.place());
        if let Some(database) = self.opts.db_name() {
            let _ = write!(url, "/{database}");
        }
        url
    }
}

fn seconds(name: &str, value: &str) -> Result<Duration> {
    value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs).ok_or_else(|| {
        Fault::config(format!("{name} in the URL of the MySQL database must be seconds"))
    })
}

fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// A value with its `%41` read.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows() {
        let cases = [
            ("mysql://ann:canary@127.0.0.1:3307/d", "mysql://ann@127.0.0.1:3307/d"),
            ("mariadb://ann:can%40ary@localhost/d", "mysql://ann@localhost:3306/d"),
            ("mysql://ann:can@ary@localhost/d", "mysql://ann@localhost:3306/d"),
            ("mysql://ann:canary@localhost/d?socket=%2Ftmp/s", "mysql://ann@/tmp/s/d"),
        ];
        for (url, expected) in cases {
            assert_eq!(Address::parse(url).unwrap().shown, expected, "{url}");
        }
        for url in [
            "mysql://ann:canary@localhost:x/d",
            "mysql://ann:canary@localhost/d?y=1",
            "mysql://ann:canary@localhost/d?timeout=0",
            "mysql://ann:canary@localhost/d?ssl-mode=maybe",
        ] {
            let fault = Address::parse(url).unwrap_err();
            let told = format!("{fault:?} {:?}", fault.hint());
            assert!(!told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn a_server_elsewhere_must_show_who_it_is() {
        let tls = |url| Address::parse(url).unwrap().tls;
        assert_eq!(tls("mysql://u@db.example.org/d"), TlsMode::VerifyIdentity);
        assert_eq!(tls("mysql://u@10.0.0.1/d?ssl-ca=/ca.pem"), TlsMode::VerifyIdentity);
        assert_eq!(tls("mysql://u@db.example.org/d?ssl-mode=disabled"), TlsMode::Disabled);
        assert_eq!(tls("mysql://u@db.example.org/d?ssl-mode=VERIFY_CA"), TlsMode::VerifyIdentity);
        for url in ["mysql://u@localhost/d", "mysql://u@127.0.0.1/d", "mysql://u@[::1]/d"] {
            assert_eq!(tls(url), TlsMode::Disabled, "{url}");
        }
    }
}
