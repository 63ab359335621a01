//! A connection before anything is said on it, encrypted or not.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};

use super::silence::Silence;

/// Bytes in both directions.
trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// Bytes to and from a server, by TCP, TLS or a socket on this machine.
pub(in crate::postgres) struct Stream {
    socket: Box<dyn Socket>,
    end_point: Option<Vec<u8>>,
    encrypted: bool,
    silence: Option<Silence>,
}

impl Stream {
    /// In plain text.
    pub(super) fn plain(
        socket: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    ) -> Self {
        Self { socket: Box::new(socket), end_point: None, encrypted: false, silence: None }
    }

    /// By TLS.
    pub(super) fn encrypted(socket: TlsStream<TcpStream>) -> Self {
        let (_, session) = socket.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let end_point = certificate.and_then(|certificate| end_point(certificate));
        Self { socket: Box::new(socket), end_point, encrypted: true, silence: None }
    }

    /// The same, failing once the server owes an answer for so long.
    pub(super) fn patient(mut self, patience: Duration) -> Self {
        self.silence = Some(Silence::new(patience));
        self
    }

    pub(in crate::postgres) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// What a password's proof is bound to (RFC 5929, `tls-server-end-point`),
    /// where the connection is encrypted and the certificate gives one.
    pub(in crate::postgres) fn end_point(&self) -> Option<&[u8]> {
        self.end_point.as_deref()
    }
}

/// The hash of a certificate, made as its signature was.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = Certificate::from_der(certificate).ok()?.signature_algorithm.oid;
    Some(match algorithm {
        // RFC 5929 takes SHA-256 where the signature has a weaker one.
        SHA_1_WITH_RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => {
            Sha256::digest(certificate).to_vec()
        }
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => Sha384::digest(certificate).to_vec(),
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, into);
        let Some(silence) = &mut self.silence else { return read };
        match read {
            Poll::Pending => silence.poll(context).map(Err),
            Poll::Ready(_) => {
                silence.heard(&into.filled()[before..]);
                read
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        if let (Some(silence), Poll::Ready(Ok(_))) = (&mut self.silence, &written) {
            silence.sent(context);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// What the driver is told of a stream whose handshake is done.
pub(super) struct Done;

impl TlsConnect<Stream> for Done {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Ready<io::Result<Stream>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(stream))
    }
}

impl tokio_postgres::tls::TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.end_point {
            Some(bytes) => ChannelBinding::tls_server_end_point(bytes.clone()),
            None => ChannelBinding::none(),
        }
    }
}
