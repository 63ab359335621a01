//! From a place to a stream: sockets, and the question whether to encrypt.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use kiln_core::{Fault, Kind, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};

use super::settings::{Encryption, Host, Place, Settings};
use super::stream::Stream;
use super::tls::Tls;

/// Asks the server whether it encrypts: eight bytes, the length and the code
/// 1234.5679.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// One way to speak to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    /// Encrypted if the server can, else in plain text.
    Offered,
    Encrypted,
}

impl Place {
    /// The way to speak to it, and the one to try if the server does not want
    /// that.
    pub(super) fn ways(&self) -> (Way, Option<Way>) {
        match (&self.host, self.encryption) {
            (Host::Socket(_), _) | (_, Encryption::Disable) => (Way::Plain, None),
            (_, Encryption::Allow) => (Way::Plain, Some(Way::Encrypted)),
            (_, Encryption::Prefer) => (Way::Offered, Some(Way::Plain)),
            _ => (Way::Encrypted, None),
        }
    }
}

/// Opens a connection, up to where the login begins.
pub(super) async fn dial(
    settings: &Settings,
    tls: &Tls,
    place: &Place,
    way: Way,
) -> Result<Stream> {
    let socket = match &place.host {
        Host::Socket(folder) => {
            return in_time(settings, place, open_socket(place, folder)).await;
        }
        Host::Tcp { name, address } => open_tcp(settings, place, name, *address).await?,
    };
    match way {
        Way::Plain => Ok(Stream::plain(socket)),
        _ => in_time(settings, place, encrypt(tls, place, socket, way)).await,
    }
}

async fn encrypt(tls: &Tls, place: &Place, socket: TcpStream, way: Way) -> Result<Stream> {
    let (socket, agreed) = ask(socket).await.map_err(|e| unreachable(place, &e))?;
    match (agreed, way) {
        (true, _) => Ok(Stream::encrypted(tls.shake_hands(place, socket).await?)),
        (false, Way::Offered) => Ok(Stream::plain(socket)),
        (false, _) => Err(Fault::config(format!(
            "PostgreSQL at {place} does not encrypt connections, and nothing else is wanted"
        ))
        .with_hint(
            "switch ssl on in postgresql.conf, or add sslmode=disable to the URL \
             if plain text is what you want",
        )),
    }
}

async fn ask(mut socket: TcpStream) -> io::Result<(TcpStream, bool)> {
    socket.write_all(&SSL_REQUEST).await?;
    match socket.read_u8().await? {
        b'S' => Ok((socket, true)),
        b'N' => Ok((socket, false)),
        // What a server before version 7 says, or none at all.
        _ => Err(io::Error::other("it does not answer as PostgreSQL does")),
    }
}

/// Tries the addresses of a name one after another.
async fn open_tcp(
    settings: &Settings,
    place: &Place,
    name: &str,
    address: Option<IpAddr>,
) -> Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match address {
        Some(address) => vec![SocketAddr::new(address, place.port)],
        None => {
            let found = lookup_host((name, place.port)).await;
            found.map_err(|e| unreachable(place, &e))?.collect()
        }
    };
    let mut last = unreachable(place, &"its name has no address");
    for address in addresses {
        let open = async {
            let socket = TcpStream::connect(address).await?;
            set_up(settings, &socket)?;
            Ok(socket)
        };
        let open = async { open.await.map_err(|e: io::Error| unreachable(place, &e)) };
        match in_time(settings, place, open).await {
            Ok(socket) => return Ok(socket),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// A server that went away without a word must be noticed.
fn set_up(settings: &Settings, socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let options = SockRef::from(socket);
    #[cfg(target_os = "linux")]
    options.set_tcp_user_timeout(Some(settings.tcp_user_timeout))?;
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(settings.keepalives_idle))
}

#[cfg(unix)]
async fn open_socket(place: &Place, folder: &Path) -> Result<Stream> {
    let path = folder.join(format!(".s.PGSQL.{}", place.port));
    let socket = tokio::net::UnixStream::connect(&path).await;
    socket.map(Stream::plain).map_err(|e| unreachable(place, &e))
}

#[cfg(not(unix))]
async fn open_socket(place: &Place, _: &Path) -> Result<Stream> {
    Err(Fault::config(format!("{place}: there are no sockets in folders on this system")))
}

/// Gives up if it takes longer than the URL allows.
pub(super) async fn in_time<T>(
    settings: &Settings,
    place: &Place,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = settings.connect_timeout else { return work.await };
    let answer = tokio::time::timeout(limit, work).await;
    answer.unwrap_or_else(|_| Err(unreachable(place, &"it does not answer")))
}

/// A server that does not answer; it may do so later.
pub(super) fn unreachable(place: &Place, why: &dyn std::fmt::Display) -> Fault {
    Fault::new(Kind::Unreachable, format!("no connection to PostgreSQL at {place}: {why}"))
        .with_hint("is the server running, and are host and port in the URL right?")
}
