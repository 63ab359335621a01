//! What a connection needs to know, put together from the URL, the environment,
//! the password file and defaults.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kiln_core::{Fault, Result};

use super::password_file::{self, Wanted};
use super::surroundings::Surroundings;
use super::url::{self, Given, wrong};

/// How long the server may take to answer a connection, and to acknowledge what
/// it was sent, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a statement may take, and the shortest time that can be set for it.
const ANSWER: Duration = Duration::from_secs(600);
const MOMENT: Duration = Duration::from_secs(1);

/// The folders where a server on this machine puts its socket: Debian's and
/// PostgreSQL's own.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Everything about connections that is settled before the first.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where servers may be; they are tried in this order.
    pub(super) places: Vec<Place>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) application_name: String,
    pub(super) options: Option<String>,
    pub(super) root_certificates: Roots,
    /// The client's certificate and its key.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) channel_binding: ChannelBinding,
    pub(super) target: Target,
    /// For each step on the way to a session; `None` waits for ever.
    pub(super) connect_timeout: Option<Duration>,
    /// How long a statement may take.
    pub(super) answer_timeout: Duration,
    pub(super) keepalives_idle: Duration,
    pub(super) tcp_user_timeout: Duration,
}

/// A server as the URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) password: Option<Password>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A name, which certificates are held against, and the address where it is
    /// given.
    Tcp { name: String, address: Option<IpAddr> },
    /// The folder of a socket.
    Socket(PathBuf),
}

/// Whether the connection is encrypted: libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Encryption {
    Disable,
    /// If the server insists.
    Allow,
    /// If the server can.
    Prefer,
    Require,
    /// And the server's certificate comes from an authority that is trusted.
    VerifyCa,
    /// And the certificate is for the host that was meant.
    VerifyFull,
}

/// Which authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// Those of the operating system.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// Whether a password's proof is bound to the encrypted channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// Which of several servers is meant: libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// A password, which never shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Settings {
    /// Puts the settings together.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for what can't be read.
    pub(super) fn read(url: &str, around: &Surroundings) -> Result<Self> {
        let mut given = url::parse(url)?;
        around.complete(&mut given)?;
        let user = match given.get("user").or(around.user.as_ref()) {
            Some(user) => user.clone(),
            None => return Err(wrong("it names no user, and this process has none")),
        };
        let database = given.get("dbname").unwrap_or(&user).clone();
        let text = |name| given.get(name).cloned();
        let mut settings = Self {
            places: places(&given, encryption(&given, around)?)?,
            application_name: text("application_name").unwrap_or_else(|| "kiln".to_owned()),
            options: text("options"),
            root_certificates: roots(&given, around)?,
            certificate: certificate(&given, around)?,
            channel_binding: channel_binding(&given)?,
            target: target(&given)?,
            connect_timeout: connect_timeout(&given)?,
            answer_timeout: seconds(&given, "answer_timeout")?.unwrap_or(ANSWER).max(MOMENT),
            keepalives_idle: seconds(&given, "keepalives_idle")?.unwrap_or(PATIENCE).min(PATIENCE),
            tcp_user_timeout: milliseconds(&given, "tcp_user_timeout")?.unwrap_or(PATIENCE),
            user,
            database,
        };
        settings.find_passwords(&given, around);
        Ok(settings)
    }

    /// The place of this number.
    pub(super) fn place(&self, number: usize) -> Result<&Place> {
        self.places.get(number).ok_or_else(|| Fault::bug("a server without a place"))
    }

    fn find_passwords(&mut self, given: &Given, around: &Surroundings) {
        let given_one = given.get("password").cloned().map(Password);
        let path = match given.get("passfile") {
            Some(path) => Some(PathBuf::from(path)),
            None => around.home.as_ref().map(|home| home.join(".pgpass")),
        };
        let file = match (&given_one, path) {
            (None, Some(path)) => password_file::read(&path).unwrap_or_default(),
            _ => String::new(),
        };
        let (database, user) = (&self.database, &self.user);
        for place in &mut self.places {
            let host = place.host.in_password_file();
            let wanted = Wanted { host: &host, port: place.port, database, user };
            let found = || password_file::find(&file, &wanted).map(Password);
            place.password = given_one.clone().or_else(found);
        }
    }
}

impl Host {
    /// Whether it is this machine.
    fn is_here(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Tcp { address: Some(address), .. } => address.is_loopback(),
            Self::Tcp { name, address: None } => {
                name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        }
    }

    fn in_password_file(&self) -> String {
        match self {
            Self::Tcp { name, .. } => name.clone(),
            Self::Socket(folder) if SOCKET_FOLDERS.iter().any(|f| folder.as_os_str() == *f) => {
                "localhost".to_owned()
            }
            Self::Socket(folder) => folder.display().to_string(),
        }
    }
}

/// What a person would write into a URL.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp { name, .. } if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp { name, .. } => write!(f, "{name}:{}", self.port),
            Host::Socket(folder) => write!(f, "{}:{}", folder.display(), self.port),
        }
    }
}

/// The list of servers: as many hosts as addresses, and one port for all or one
/// for each.
fn places(given: &Given, asked: Option<Encryption>) -> Result<Vec<Place>> {
    let (hosts, addresses) = (list(given, "host"), list(given, "hostaddr"));
    let count = hosts.len().max(addresses.len()).max(1);
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        let (hosts, addresses) = (hosts.len(), addresses.len());
        return Err(wrong(&format!("it has {hosts} hosts and {addresses} addresses (hostaddr)")));
    }
    let ports = list(given, "port");
    if ports.len() > 1 && ports.len() != count {
        return Err(wrong(&format!("it has {count} hosts and {} ports", ports.len())));
    }
    let place = |i: usize| {
        let port = port(ports.get(i).or(ports.first()).copied().unwrap_or_default())?;
        let name = hosts.get(i).copied().unwrap_or_default();
        let host = host(name, addresses.get(i).copied().unwrap_or_default(), port)?;
        let encryption = asked.unwrap_or(match host.is_here() {
            true => Encryption::Allow,
            false => Encryption::VerifyFull,
        });
        Ok(Place { host, port, encryption, password: None })
    };
    (0..count).map(place).collect()
}

fn list<'a>(given: &'a Given, name: &str) -> Vec<&'a str> {
    given.get(name).map(|text| text.split(',').collect()).unwrap_or_default()
}

fn port(text: &str) -> Result<u16> {
    if text.is_empty() {
        return Ok(5432);
    }
    let number = text.parse().ok().filter(|port| *port > 0);
    number.ok_or_else(|| wrong("a port is no number from 1 to 65535"))
}

fn host(name: &str, address: &str, port: u16) -> Result<Host> {
    if address.is_empty() && name.starts_with('/') {
        return Ok(Host::Socket(PathBuf::from(name)));
    }
    if address.is_empty() && name.is_empty() {
        return Ok(default_host(port));
    }
    let number = |_| wrong("hostaddr is no IP address").with_hint("a name belongs into host");
    let number = (!address.is_empty()).then(|| address.parse().map_err(number)).transpose()?;
    let name = if name.is_empty() { address } else { name };
    Ok(Host::Tcp { name: name.to_owned(), address: number })
}

/// The socket of the server on this machine, or else what comes nearest.
fn default_host(port: u16) -> Host {
    if !cfg!(unix) {
        return Host::Tcp { name: "localhost".to_owned(), address: None };
    }
    let folders = SOCKET_FOLDERS.map(PathBuf::from);
    let is_there = |folder: &&PathBuf| folder.join(format!(".s.PGSQL.{port}")).exists();
    let found = folders.iter().find(is_there).or(folders.first());
    Host::Socket(found.cloned().unwrap_or_default())
}

fn encryption(given: &Given, around: &Surroundings) -> Result<Option<Encryption>> {
    let asked = one_of(
        given,
        "sslmode",
        &[
            ("disable", Encryption::Disable),
            ("allow", Encryption::Allow),
            ("prefer", Encryption::Prefer),
            ("require", Encryption::Require),
            ("verify-ca", Encryption::VerifyCa),
            ("verify-full", Encryption::VerifyFull),
        ],
    )?;
    let names_roots = given.contains_key("sslrootcert") || around.own_file("root.crt").is_some();
    let trusts_the_system = given.get("sslrootcert").is_some_and(|path| path == "system");
    match asked {
        // Anybody can get a certificate for some name from those authorities.
        Some(weaker) if trusts_the_system && weaker < Encryption::VerifyFull => {
            Err(wrong("sslrootcert=system needs sslmode=verify-full")
                .with_hint("leave sslmode out, or write sslmode=verify-full"))
        }
        None if trusts_the_system => Ok(Some(Encryption::VerifyFull)),
        // Who names an authority wants it to be asked.
        Some(Encryption::Require) if names_roots => Ok(Some(Encryption::VerifyCa)),
        asked => Ok(asked),
    }
}

fn roots(given: &Given, around: &Surroundings) -> Result<Roots> {
    Ok(match given.get("sslrootcert").map(String::as_str) {
        Some("system") => Roots::System,
        Some(path) => Roots::File(PathBuf::from(path)),
        None => around.own_file("root.crt").map_or(Roots::System, Roots::File),
    })
}

fn certificate(given: &Given, around: &Surroundings) -> Result<Option<(PathBuf, PathBuf)>> {
    let path = |parameter, file| given.get(parameter).map(PathBuf::from).or(around.own_file(file));
    match (path("sslcert", "postgresql.crt"), path("sslkey", "postgresql.key")) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (Some(_), None) => Err(wrong("it has a sslcert without its sslkey")),
        _ if given.contains_key("sslkey") => Err(wrong("it has a sslkey without its sslcert")),
        _ => Ok(None),
    }
}

fn channel_binding(given: &Given) -> Result<ChannelBinding> {
    let words = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
    Ok(one_of(given, "channel_binding", &words)?.unwrap_or(ChannelBinding::Prefer))
}

fn target(given: &Given) -> Result<Target> {
    let words = [
        ("any", Target::Any),
        ("read-write", Target::ReadWrite),
        ("read-only", Target::ReadOnly),
        ("primary", Target::Primary),
        ("standby", Target::Standby),
        ("prefer-standby", Target::PreferStandby),
    ];
    Ok(one_of(given, "target_session_attrs", &words)?.unwrap_or(Target::Any))
}

/// The meaning of a parameter that is one of these words.
fn one_of<T: Copy>(given: &Given, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
    let Some(text) = given.get(name) else { return Ok(None) };
    if let Some((_, meaning)) = words.iter().find(|(word, _)| word == text) {
        return Ok(Some(*meaning));
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(wrong(&format!("its {name} is no word that kiln knows"))
        .with_hint(format!("write one of {}", known.join(", "))))
}

/// 0 waits for ever, as with libpq.
fn connect_timeout(given: &Given) -> Result<Option<Duration>> {
    let asked = seconds(given, "connect_timeout")?;
    Ok(Some(asked.unwrap_or(PATIENCE)).filter(|time| !time.is_zero()))
}

fn seconds(given: &Given, name: &str) -> Result<Option<Duration>> {
    Ok(number(given, name)?.map(Duration::from_secs))
}

fn milliseconds(given: &Given, name: &str) -> Result<Option<Duration>> {
    Ok(number(given, name)?.map(Duration::from_millis))
}

fn number(given: &Given, name: &str) -> Result<Option<u64>> {
    let Some(text) = given.get(name) else { return Ok(None) };
    text.parse::<u32>()
        .map(|n| Some(n.into()))
        .map_err(|_| wrong(&format!("its {name} is no number")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Surroundings { variables: variables.collect(), home: None, user: Some("ann".to_owned()) }
    }

    fn read(url: &str) -> Settings {
        Settings::read(url, &around(&[])).expect(url)
    }

    fn refused(url: &str) -> String {
        let fault = Settings::read(url, &around(&[])).expect_err(url);
        format!("{fault} {}", fault.hint().unwrap_or_default())
    }

    #[test]
    fn what_nothing_says_is_as_with_libpq() {
        let settings = read("postgres://");
        assert_eq!((&*settings.user, &*settings.database), ("ann", "ann"));
        assert_eq!(settings.application_name, "kiln");
        assert_eq!(settings.places.len(), 1);
        assert!(matches!(settings.places[0].host, Host::Socket(_)), "{settings:?}");
        assert_eq!(read("postgres://bob@h").database, "bob");
        assert_eq!(settings.connect_timeout, Some(PATIENCE));
        assert_eq!(read("postgres://h/?connect_timeout=0").connect_timeout, None);
        let nobody = Surroundings::default();
        assert!(Settings::read("postgres://h", &nobody).unwrap_err().message().contains("no user"));
    }

    #[test]
    fn lists_of_hosts_go_with_lists_of_ports() {
        let places = |url| {
            let places = read(url).places;
            places.iter().map(Place::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(places("postgres://a,b:1,[::1]/"), "a:5432 b:1 [::1]:5432");
        assert_eq!(places("postgres://a,b/?port=7"), "a:7 b:7");
        assert_eq!(places("postgres:///?host=/tmp,b&port=1,2"), "/tmp:1 b:2");
        assert_eq!(places("postgres:///?hostaddr=10.0.0.1,::1"), "10.0.0.1:5432 [::1]:5432");
        let place = &read("postgres://db.example.org/?hostaddr=127.0.0.1").places[0];
        let address = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(place.host, Host::Tcp { name: "db.example.org".into(), address });
        assert!(refused("postgres://a,b/?port=1,2,3").contains("2 hosts and 3 ports"));
        assert!(refused("postgres://a/?hostaddr=::1,::2").contains("1 hosts and 2 addresses"));
        assert!(refused("postgres://a/?hostaddr=b").contains("no IP address"));
        for port in ["0", "65536", "x"] {
            assert!(refused(&format!("postgres://a:{port}/")).contains("65535"), "{port}");
        }
    }

    #[test]
    fn another_host_is_verified_unless_the_url_says_otherwise() {
        let cases = [
            ("postgres://db.example.org", Encryption::VerifyFull),
            ("postgres://10.0.0.1", Encryption::VerifyFull),
            ("postgres://localhost", Encryption::Allow),
            ("postgres://127.0.0.2", Encryption::Allow),
            ("postgres://[::1]", Encryption::Allow),
            ("postgres://db.example.org?hostaddr=127.0.0.1", Encryption::Allow),
            ("postgres://localhost?hostaddr=10.0.0.1", Encryption::VerifyFull),
            ("postgres://localhost?sslrootcert=system", Encryption::VerifyFull),
            ("postgres://db.example.org?sslmode=disable", Encryption::Disable),
            ("postgres://db.example.org?sslmode=require", Encryption::Require),
            ("postgres://db.example.org?sslmode=require&sslrootcert=x", Encryption::VerifyCa),
            ("postgres://localhost?sslmode=verify-ca", Encryption::VerifyCa),
        ];
        for (url, encryption) in cases {
            assert_eq!(read(url).places[0].encryption, encryption, "{url}");
        }
        let mixed = read("postgres://localhost,db.example.org").places;
        assert_eq!(mixed[1].encryption, Encryption::VerifyFull);
        assert!(refused("postgres://h?sslmode=off").contains("disable, allow, prefer"));
        assert!(refused("postgres://h?sslmode=require&sslrootcert=system").contains("verify-full"));
        assert!(refused("postgres://h?sslcert=x").contains("without its sslkey"));
        let around = around(&[("PGSSLMODE", "require")]);
        let asked = Settings::read("postgres://localhost", &around).unwrap();
        assert_eq!(asked.places[0].encryption, Encryption::Require);
    }

    #[test]
    fn an_authority_in_the_users_own_folder_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".postgresql");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("root.crt"), "").unwrap();
        let mut around = around(&[]);
        around.home = Some(home.path().to_owned());
        let settings = Settings::read("postgres://db.example.org?sslmode=require", &around);
        let settings = settings.unwrap();
        assert_eq!(settings.root_certificates, Roots::File(folder.join("root.crt")));
        assert_eq!(settings.places[0].encryption, Encryption::VerifyCa);
    }

    #[cfg(unix)]
    #[test]
    fn passwords_come_from_the_url_the_environment_or_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".pgpass");
        fs::write(&file, "a:5432:d:ann:one\nlocalhost:*:d:ann:socket\n*:7:d:ann:two\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let passwords = |url: &str, variables: &[(&str, &str)]| {
            let mut around = around(variables);
            around.home = Some(home.path().to_owned());
            let settings = Settings::read(url, &around).unwrap();
            assert!(!format!("{settings:?}").contains("canary"));
            let shown = |p: &Place| p.password.as_ref().map_or("-", |p| p.0.as_str()).to_owned();
            settings.places.iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(passwords("postgres://a,b:7,c/d", &[]), "one two -");
        assert_eq!(passwords("postgres:///d?host=/var/run/postgresql", &[]), "socket");
        assert_eq!(passwords("postgres://a/d", &[("PGPASSWORD", "canary")]), "canary");
        assert_eq!(passwords("postgres://:url@a/d", &[("PGPASSWORD", "canary")]), "url");
        let elsewhere = home.path().join("other").display().to_string();
        assert_eq!(passwords("postgres://a/d", &[("PGPASSFILE", &elsewhere)]), "-");
    }
}
