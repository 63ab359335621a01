//! Whom an encrypted connection trusts. The server here shows a certificate, and
//! turns everybody away at the login: who comes so far has trusted it.

use std::path::PathBuf;
use std::sync::Arc;

use kiln_core::{Fault, Kind};
use kiln_databases::connect;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority, and a server's certificate by it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, pem).unwrap();
        Self { issuer: Issuer::new(params, key), file, _folder: folder }
    }

    /// What a server for this name needs.
    fn server(&self, name: &str, expired: bool) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Says who it is: a server with or without encryption.
fn greeting(encrypts: bool) -> Vec<u8> {
    let flags: u32 = 0x8_8209 | if encrypts { 0x800 } else { 0 };
    let mut body = b"\x0a8.0.36\0\x01\0\0\0abcdefgh\0".to_vec();
    body.extend(&flags.to_le_bytes()[..2]);
    body.extend(b"\x2d\x02\0");
    body.extend(&flags.to_le_bytes()[2..]);
    body.extend(b"\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0");
    packet(0, &body)
}

fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(number);
    packet.extend(body);
    packet
}

async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Option<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut body).await.ok()?;
    Some(head[3])
}

async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Some(number) = read_packet(&mut stream).await else { return };
    let denied = packet(number + 1, b"\xff\x15\x04#28000Access denied");
    let _ = stream.write_all(&denied).await;
    let _ = stream.flush().await;
    let _ = stream.shutdown().await;
}

/// Starts a server; gives its port.
async fn serve(tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let _ = stream.write_all(&greeting(tls.is_some())).await;
                let Some(tls) = tls else { return turn_away(stream).await };
                // What comes first is no login but the wish to encrypt.
                let mut wish = [0; 36];
                if stream.read_exact(&mut wish).await.is_err() {
                    return;
                }
                if let Ok(stream) = tls.accept(stream).await {
                    turn_away(stream).await;
                }
            });
        }
    });
    port
}

async fn fault_of(host: &str, port: u16, parameters: &str) -> Fault {
    let url = format!("mysql://ann:canary@{host}:{port}/d?{parameters}");
    let fault = connect(&url, None).await.unwrap().ledger().prepare().await.unwrap_err();
    assert!(!format!("{fault:?} {:?}", fault.hint()).contains("canary"), "{fault:?}");
    fault
}

fn is_trusted(fault: &Fault) -> bool {
    assert_eq!(fault.kind(), Kind::NotPermitted, "{fault:?}");
    let trusted = fault.code() == Some("1045");
    assert!(trusted || fault.message().contains("not trusted"), "{fault:?}");
    trusted
}

#[tokio::test]
async fn only_a_certificate_of_the_authority_for_the_host_is_trusted() {
    let (ours, other) = (Authority::new(), Authority::new());
    let right = serve(Some(ours.server("localhost", false))).await;
    let elsewhere = serve(Some(ours.server("db.example.org", false))).await;
    let expired = serve(Some(ours.server("localhost", true))).await;
    let foreign = serve(Some(other.server("localhost", false))).await;
    let ca = format!("ssl-ca={}", ours.file.display());
    for (port, mode, parameter, trusted) in [
        (right, "verify_identity", ca.as_str(), true),
        (elsewhere, "verify_identity", &ca, false),
        (expired, "verify_identity", &ca, false),
        (foreign, "verify_identity", &ca, false),
        (right, "verify_identity", "", false),
        (right, "verify_ca", &ca, true),
        (elsewhere, "verify_ca", &ca, false),
        (expired, "verify_ca", &ca, false),
        (foreign, "verify_ca", &ca, false),
        (foreign, "required", "", true),
        (expired, "preferred", "", true),
    ] {
        let fault = fault_of("localhost", port, &format!("ssl-mode={mode}&{parameter}")).await;
        assert_eq!(is_trusted(&fault), trusted, "{mode} {parameter}: {fault:?}");
    }
}

#[tokio::test]
async fn nothing_goes_in_plain_text_unasked() {
    let port = serve(None).await;
    for mode in ["required", "verify_ca", "verify_identity"] {
        let fault = fault_of("localhost", port, &format!("ssl-mode={mode}")).await;
        assert_eq!(fault.kind(), Kind::Config, "{mode}: {fault:?}");
        assert!(fault.message().contains("encrypted"), "{fault}");
    }
    for mode in ["disabled", "preferred"] {
        let fault = fault_of("localhost", port, &format!("ssl-mode={mode}")).await;
        assert_eq!(fault.code(), Some("1045"), "{mode}: {fault:?}");
    }
}
