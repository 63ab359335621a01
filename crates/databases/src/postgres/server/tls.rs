//! Encryption: what is shown to the server, and when the server is believed.

use std::path::Path;
use std::sync::Arc;

use kiln_core::{Fault, Kind, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::settings::{Encryption, Host, Place, Roots, Settings};
use super::tls_fault;
use super::verifier::{Trusted, Verifier};

/// What encrypted connections need, read once.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    trusted: Arc<Trusted>,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Tls {
    /// Reads the certificates that are needed.
    ///
    /// # Errors
    /// [`Kind::Config`] for a file that is not what it should be, and
    /// [`Kind::NotPermitted`] for a key that others can read.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let strictest = settings.places.iter().filter_map(Place::encryption).max();
        let verifies = strictest >= Some(Encryption::VerifyCa);
        let trusted = match &settings.root_certificates {
            _ if !verifies => Trusted::default(),
            Roots::System => of_system()?,
            Roots::File(path) => of_file(path)?,
        };
        let certificate = match &settings.certificate {
            Some((certificate, key)) if strictest.is_some() => {
                Some((certificates(certificate)?, private_key(key)?))
            }
            _ => None,
        };
        let provider = Arc::new(ring::default_provider());
        Ok(Self { provider, trusted: Arc::new(trusted), certificate })
    }

    /// Encrypts a connection on which the server has agreed to it.
    pub(super) async fn shake_hands(
        &self,
        place: &Place,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>> {
        let Host::Tcp { name, .. } = &place.host else {
            return Err(Fault::bug("a socket on this machine is never encrypted"));
        };
        let name = ServerName::try_from(name.clone())
            .map_err(|_| Fault::config(format!("{place}: no certificate can be for this name")))?;
        let connector = TlsConnector::from(Arc::new(self.config(place.encryption)?));
        connector.connect(name, socket).await.map_err(|e| tls_fault::of(place, &e))
    }

    fn config(&self, encryption: Encryption) -> Result<ClientConfig> {
        let verifier = Verifier::new(&self.provider, &self.trusted, encryption);
        let unusable = |e| Fault::config(format!("TLS can't be set up: {e}"));
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        match &self.certificate {
            None => Ok(config.with_no_client_auth()),
            Some((chain, key)) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|e| Fault::config(format!("sslcert and sslkey can't be used: {e}"))),
        }
    }
}

impl Place {
    /// How far the connection is encrypted, where it can be at all.
    fn encryption(&self) -> Option<Encryption> {
        match self.host {
            Host::Socket(_) => None,
            Host::Tcp { .. } => Some(self.encryption).filter(|e| *e > Encryption::Disable),
        }
    }
}

fn of_system() -> Result<Trusted> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|e| format!(": {e}")).unwrap_or_default();
        return Err(Fault::config(format!("this system trusts no authority{why}")).with_hint(
            "install its certificates (on Debian: ca-certificates), or name a file in sslrootcert",
        ));
    }
    Ok(Trusted { roots, themselves: Vec::new() })
}

fn of_file(path: &Path) -> Result<Trusted> {
    let themselves = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &themselves {
        roots.add(certificate.clone()).map_err(|e| unreadable(path, &e))?;
    }
    Ok(Trusted { roots, themselves })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(unreadable(path, &"it holds no certificate"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !is_private(&meta) {
        let what = format!("the key {} can be read by others", path.display());
        return Err(Fault::new(Kind::NotPermitted, what).with_hint("chmod 600 it"));
    }
    PrivateKeyDer::from_pem_file(path)
        .map_err(|e| unreadable(path, &e).with_hint("kiln reads keys in PEM without a passphrase"))
}

/// A group may read a key that belongs to root, as libpq has it.
#[cfg(unix)]
fn is_private(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let others = if meta.uid() == 0 { 0o037 } else { 0o077 };
    meta.mode() & others == 0
}

#[cfg(not(unix))]
fn is_private(_: &std::fs::Metadata) -> bool {
    true
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Fault {
    Fault::config(format!("{} can't be used: {why}", path.display()))
        .with_hint("name a file in PEM (-----BEGIN …) in the URL's sslrootcert, sslcert or sslkey")
}
