//! TLS: who is believed, who is not, and what is said of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kiln_core::Kind;
use kiln_testkit::OwnPostgres;
use tempfile::TempDir;

use super::certificates::{Authority, Signed, self_signed};
use super::server::reach;
use super::*;

/// `tester` may do as it likes, to look after the server; `shop` must encrypt,
/// `open` must not, `holder` must show a certificate, and `secret` a password.
const RULES: &str = "\
hostssl all tester 127.0.0.1/32 trust
host    all tester 127.0.0.1/32 trust
hostssl all shop   127.0.0.1/32 trust
hostnossl all open 127.0.0.1/32 trust
hostssl all holder 127.0.0.1/32 cert map=m
hostssl all secret 127.0.0.1/32 scram-sha-256
";

/// A server that encrypts, and the files that its clients have.
struct Encrypting {
    server: OwnPostgres,
    files: TempDir,
}

impl Encrypting {
    async fn start(authority: &Authority, shown: &Signed) -> Self {
        let files = [
            ("pg_hba.conf", RULES),
            ("pg_ident.conf", "m tester holder\n"),
            ("ca.crt", &authority.pem()),
            ("server.crt", &shown.certificate),
            ("server.key", &shown.key),
        ];
        let server = OwnPostgres::start(&files, "ssl = on\nssl_ca_file = 'ca.crt'\n");
        for role in ["shop", "open", "holder", "secret"] {
            server.value(&format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'canary'")).await;
        }
        let this = Self { server, files: tempfile::tempdir().unwrap() };
        this.file("ca.crt", &authority.pem());
        this
    }

    /// Has the server show another certificate.
    async fn show(&self, shown: &Signed) {
        self.server.write("server.crt", &shown.certificate);
        self.server.write("server.key", &shown.key);
        self.server.reload().await;
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// The URL of the server under a name that the certificate may have.
    fn url(&self, user: &str, host: &str, parameters: &str) -> String {
        let (port, files) = (self.server.port, self.files.path().display());
        let parameters = parameters.replace('@', &format!("{files}/"));
        format!("postgres://{user}@{host}:{port}/postgres?hostaddr=127.0.0.1&{parameters}")
    }

    async fn enters(&self, user: &str, host: &str, parameters: &str) {
        let url = self.url(user, host, parameters);
        reach(&url).await.unwrap_or_else(|fault| panic!("{url}: {fault}"));
    }

    async fn refused(&self, user: &str, host: &str, parameters: &str) -> Fault {
        let url = self.url(user, host, parameters);
        let fault = reach(&url).await.expect_err(&url);
        assert!(!fault.is_transient(), "{url}: {fault}");
        fault
    }
}

#[track_caller]
fn says(fault: &Fault, kind: Kind, words: &str) {
    let told = format!("{fault}; {}", fault.hint().unwrap_or_default());
    assert_eq!(fault.kind(), kind, "{told}");
    assert!(told.contains(words), "{words:?} is not in: {told}");
}

#[tokio::test]
async fn a_server_is_believed_as_far_as_the_url_asks() {
    let [authority, other, impostor] = ["ours", "another", "ours"].map(Authority::new);
    let server = Encrypting::start(&authority, &authority.sign(&["db.test"])).await;
    server.file("other.crt", &other.pem());
    server.file("impostor.crt", &impostor.pem());
    for parameters in [
        "sslmode=verify-full&sslrootcert=@ca.crt",
        "sslmode=verify-ca&sslrootcert=@ca.crt",
        "sslmode=require",
        "sslmode=prefer",
        // As on this host by default: plain text, and encrypted if it must be.
        "sslmode=allow",
        "",
    ] {
        server.enters("shop", "db.test", parameters).await;
    }
    server.enters("shop", "other.test", "sslmode=verify-ca&sslrootcert=@ca.crt").await;
    server.enters("open", "db.test", "sslmode=disable").await;
    server.enters("open", "db.test", "sslmode=prefer").await;

    let full = "sslmode=verify-full&sslrootcert=@ca.crt";
    let fault = server.refused("shop", "other.test", full).await;
    says(&fault, Kind::Config, "is for another host: db.test");
    for mode in ["verify-full", "verify-ca", "require"] {
        let parameters = format!("sslmode={mode}&sslrootcert=@other.crt");
        let fault = server.refused("shop", "db.test", &parameters).await;
        says(&fault, Kind::Config, "authority that is not trusted here");
        says(&fault, Kind::Config, "sslrootcert");
    }
    let named = "sslmode=verify-ca&sslrootcert=@impostor.crt";
    let fault = server.refused("shop", "db.test", named).await;
    says(&fault, Kind::Config, "not signed by the authority that it names");
    let fault = server.refused("shop", "db.test", "sslmode=verify-ca&sslrootcert=@no.crt").await;
    says(&fault, Kind::Config, "no.crt can't be used");
    server.file("empty.crt", "nothing");
    let fault = server.refused("shop", "db.test", "sslmode=verify-ca&sslrootcert=@empty.crt").await;
    says(&fault, Kind::Config, "holds no certificate");
    let fault = server.refused("shop", "db.test", "sslmode=disable").await;
    says(&fault, Kind::NotPermitted, "pg_hba.conf");

    server.show(&authority.sign_expired(&["db.test"])).await;
    let fault = server.refused("shop", "db.test", full).await;
    says(&fault, Kind::Config, "has expired ");
    says(&fault, Kind::Config, " days ago");

    let alone = self_signed(&["db.test"]);
    server.file("alone.crt", &alone.certificate);
    server.show(&alone).await;
    server.enters("shop", "db.test", "sslmode=verify-full&sslrootcert=@alone.crt").await;
    let fault =
        server.refused("shop", "other.test", "sslmode=verify-full&sslrootcert=@alone.crt").await;
    says(&fault, Kind::Config, "is for another host");
    let fault = server.refused("shop", "db.test", full).await;
    says(&fault, Kind::Config, "the certificate of PostgreSQL at db.test");
}

#[tokio::test]
async fn a_client_shows_its_certificate_and_keeps_its_key() {
    let authority = Authority::new("ours");
    let server = Encrypting::start(&authority, &authority.sign(&["db.test"])).await;
    let own = authority.sign(&[]);
    server.file("own.crt", &own.certificate);
    let key = server.file("own.key", &own.key);
    let mode = "sslmode=verify-full&sslrootcert=@ca.crt";
    let with_key = format!("{mode}&sslcert=@own.crt&sslkey=@own.key");
    server.enters("holder", "db.test", &with_key).await;
    let fault = server.refused("holder", "db.test", mode).await;
    says(&fault, Kind::NotPermitted, "certificate");
    fs::set_permissions(Path::new(&key), fs::Permissions::from_mode(0o644)).unwrap();
    let fault = server.refused("holder", "db.test", &with_key).await;
    says(&fault, Kind::NotPermitted, "own.key can be read by others");
}

#[tokio::test]
async fn rows_go_by_an_encrypted_lane_that_is_bound_to_its_password() {
    let authority = Authority::new("ours");
    let server = Encrypting::start(&authority, &authority.sign(&["db.test"])).await;
    server.server.value("CREATE TABLE t (id bigint)").await;
    let parameters = "sslmode=verify-full&sslrootcert=@ca.crt&channel_binding=require";
    let database =
        connect(&server.url("secret:canary", "db.test", parameters), None).await.unwrap();
    database.ledger().prepare().await.unwrap();
    let items = batch(vec![("id", ints(1..=10_000))]);
    let writes = [insert("t", &["id"])];
    let (mut lane, _) = open(&database, &key("run", 1), &writes, &items.schema()).await;
    commit(&mut lane, &unit(0, vec![items])).await;
    assert_eq!(server.server.value("SELECT sum(id) FROM t").await, "50005000");
    let own = "SELECT count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) \
               WHERE a.usename = 'secret' AND NOT s.ssl";
    assert_eq!(server.server.value(own).await, "0");
    let fault = server.refused("secret:wrong", "db.test", parameters).await;
    assert_eq!((fault.kind(), fault.code()), (Kind::NotPermitted, Some("28P01")), "{fault}");
}
