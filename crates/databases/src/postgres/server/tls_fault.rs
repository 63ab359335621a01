//! What it means when a connection can't be encrypted, and what to do then.

use std::io;

use kiln_core::{Fault, Kind};
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{CertificateError, Error};

use super::settings::Place;

/// The fault behind a handshake that failed. A server that is not believed is
/// not asked again.
pub(super) fn of(place: &Place, error: &io::Error) -> Fault {
    match error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(certificate)) => of_certificate(place, certificate),
        Some(other) => {
            Fault::config(format!("the connection to PostgreSQL at {place} can't be encrypted: {other}"))
                .with_hint("look at ssl_min_protocol_version and ssl_ciphers of the server: kiln speaks TLS 1.2 and 1.3")
        }
        None => Fault::new(
            Kind::Unreachable,
            format!("the connection to PostgreSQL at {place} broke while it was encrypted: {error}"),
        )
        .with_hint("does the server's log say why it hung up?"),
    }
}

fn of_certificate(place: &Place, error: &CertificateError) -> Fault {
    use CertificateError as E;
    let (why, hint) = match error {
        E::UnknownIssuer => (
            "comes from an authority that is not trusted here".to_owned(),
            "name the certificate of its authority in the URL's sslrootcert",
        ),
        E::ExpiredContext { time, not_after } => {
            (format!("has expired {}", ago(*time, *not_after)), "the server needs a new one")
        }
        E::Expired => ("has expired".to_owned(), "the server needs a new one"),
        E::NotValidYetContext { .. } | E::NotValidYet => {
            ("is not valid yet".to_owned(), "is the clock of this machine right?")
        }
        E::NotValidForNameContext { presented, .. } => (
            format!("is for another host: {}", names(presented)),
            "name the host in the URL as the certificate does (with hostaddr for the address, \
             if it must be another), or give the server a certificate with its name in \
             subjectAltName",
        ),
        E::NotValidForName => {
            ("is for another host".to_owned(), "name the host in the URL as the certificate does")
        }
        E::BadSignature => (
            "was not signed by the authority that it names".to_owned(),
            "is the file in sslrootcert the one of this server's authority?",
        ),
        other => (
            format!("can't be used: {other}"),
            "give the server a certificate of version 3 with its name in subjectAltName, \
             for TLS servers and not for an authority",
        ),
    };
    Fault::config(format!("the certificate of PostgreSQL at {place} {why}")).with_hint(hint)
}

/// How long ago it was, as people say it.
fn ago(now: UnixTime, then: UnixTime) -> String {
    match now.as_secs().saturating_sub(then.as_secs()) / 86_400 {
        0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        days => format!("{days} days ago"),
    }
}

/// The names of a certificate, without the words of the library around them.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| match name.split_once("(\"").and_then(|(_, n)| n.split_once('"')) {
        Some((name, _)) => name.to_owned(),
        None => name.clone(),
    };
    match presented {
        [] => "it names none (in subjectAltName)".to_owned(),
        presented => presented.iter().map(bare).collect::<Vec<_>>().join(", "),
    }
}
