//! Which server is believed to be the one that was meant.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::settings::Encryption;

/// The certificates that are believed without further proof.
#[derive(Debug)]
pub(super) struct Trusted {
    /// As authorities.
    pub(super) roots: RootCertStore,
    /// As the server's own: people who sign a server's certificate with itself
    /// name it as its own authority.
    pub(super) themselves: Vec<CertificateDer<'static>>,
}

impl Default for Trusted {
    fn default() -> Self {
        Self { roots: RootCertStore::empty(), themselves: Vec::new() }
    }
}

/// Looks at a server's certificate as closely as `sslmode` asks for. That the
/// server has the certificate's key is proved in any case: channel binding
/// rests on it.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    trusted: Arc<Trusted>,
    encryption: Encryption,
}

impl Verifier {
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        trusted: &Arc<Trusted>,
        encryption: Encryption,
    ) -> Self {
        Self { provider: Arc::clone(provider), trusted: Arc::clone(trusted), encryption }
    }

    fn verify_chain(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.trusted.themselves.contains(certificate) {
            return verify_dates(certificate, now);
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        let roots = &self.trusted.roots;
        verify_server_cert_signed_by_trust_anchor(parsed, roots, intermediates, now, algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.encryption >= Encryption::VerifyCa {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            self.verify_chain(end_entity, &parsed, intermediates, now)?;
            if self.encryption >= Encryption::VerifyFull {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate is of today.
fn verify_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let validity = certificate.tbs_certificate.validity;
    let time = |time: x509_cert::time::Time| UnixTime::since_unix_epoch(time.to_unix_duration());
    let (not_before, not_after) = (time(validity.not_before), time(validity.not_after));
    let wrong = if now < not_before {
        CertificateError::NotValidYetContext { time: now, not_before }
    } else if now > not_after {
        CertificateError::ExpiredContext { time: now, not_after }
    } else {
        return Ok(());
    };
    Err(Error::InvalidCertificate(wrong))
}
