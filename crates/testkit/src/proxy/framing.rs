//! Where messages begin and end.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

use super::Way;

/// How a connection is cut into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// PostgreSQL's frontend/backend protocol, version 3.
    Postgres,
    /// The client/server protocol of MySQL and MariaDB; its packets are the
    /// messages.
    MySql,
}

impl Protocol {
    /// The protocol of a URL.
    ///
    /// # Panics
    /// If it is none of these.
    pub(super) fn of_scheme(scheme: &str) -> Self {
        match scheme {
            "postgres" | "postgresql" => Self::Postgres,
            "mysql" | "mariadb" => Self::MySql,
            other => panic!("{other}: is no protocol that the proxy knows"),
        }
    }
}

/// What both directions of a connection know of its start.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU8);

/// Messages as they always are.
const PLAIN: u8 = 0;
/// PostgreSQL: the server's next word is one byte, yes or no to encryption.
const ASKED: u8 = 1;
/// From here on nothing can be told.
const OPAQUE: u8 = 2;

/// PostgreSQL's codes for a request for TLS and one for GSSAPI.
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
/// MySQL's flags of the client for compression and TLS.
const COMPRESSION_OR_TLS: u32 = 0x20 | 0x800;

/// The messages of one direction.
#[derive(Debug)]
pub(super) struct Messages<R> {
    reader: BufReader<R>,
    protocol: Protocol,
    way: Way,
    /// The first message of its direction has not come yet.
    is_first: bool,
}

impl<R: AsyncRead + Unpin> Messages<R> {
    pub(super) fn new(reader: R, protocol: Protocol, way: Way) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, reader), protocol, way, is_first: true }
    }

    /// Whether more has come already.
    pub(super) fn has_more(&self) -> bool {
        !self.reader.buffer().is_empty()
    }

    /// Reads the next message into `message`, in place of what is there; says
    /// whether it counts as one.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] behind the last one, or as the
    /// connection has them.
    pub(super) async fn next(&mut self, phase: &Phase, message: &mut Vec<u8>) -> io::Result<bool> {
        message.clear();
        self.read(1, message).await?;
        if phase.0.load(Ordering::SeqCst) == OPAQUE {
            let there = self.reader.buffer().len();
            self.read(there, message).await?;
            return Ok(false);
        }
        match (self.protocol, self.way) {
            (Protocol::Postgres, Way::ToServer) => self.postgres_client(phase, message).await?,
            (Protocol::Postgres, Way::ToClient) => self.postgres_server(phase, message).await?,
            (Protocol::MySql, _) => self.mysql(phase, message).await?,
        }
        Ok(true)
    }

    /// A tag and a length, which counts itself; the first message has no tag.
    async fn postgres_client(&mut self, phase: &Phase, message: &mut Vec<u8>) -> io::Result<()> {
        if !self.is_first {
            return self.tagged(message).await;
        }
        self.read(7, message).await?;
        self.read(big_endian(&message[..4]).saturating_sub(8), message).await?;
        if ENCRYPTION.contains(&(big_endian(&message[4..8]) as u32)) {
            // The start itself follows behind the answer.
            phase.0.store(ASKED, Ordering::SeqCst);
        } else {
            self.is_first = false;
        }
        Ok(())
    }

    async fn postgres_server(&mut self, phase: &Phase, message: &mut Vec<u8>) -> io::Result<()> {
        let asked = phase.0.compare_exchange(ASKED, PLAIN, Ordering::SeqCst, Ordering::SeqCst);
        match (asked, message[0]) {
            (Ok(_), b'S' | b'G') => phase.0.store(OPAQUE, Ordering::SeqCst),
            (Ok(_), b'N') => {}
            _ => self.tagged(message).await?,
        }
        Ok(())
    }

    async fn tagged(&mut self, message: &mut Vec<u8>) -> io::Result<()> {
        self.read(4, message).await?;
        self.read(big_endian(&message[1..5]).saturating_sub(4), message).await
    }

    /// Three bytes of length, a number, and as many bytes.
    async fn mysql(&mut self, phase: &Phase, message: &mut Vec<u8>) -> io::Result<()> {
        self.read(3, message).await?;
        let length =
            usize::from(message[0]) | usize::from(message[1]) << 8 | usize::from(message[2]) << 16;
        self.read(length, message).await?;
        let is_first = std::mem::take(&mut self.is_first);
        if let (Way::ToServer, true, [_, _, _, _, a, b, c, d, ..]) =
            (self.way, is_first, &message[..])
            && u32::from_le_bytes([*a, *b, *c, *d]) & COMPRESSION_OR_TLS != 0
        {
            phase.0.store(OPAQUE, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Puts another text into a message, and its new length with it.
    pub(super) fn change(&self, message: &mut Vec<u8>, range: Range<usize>, by: &str) {
        message.splice(range, by.bytes());
        match self.protocol {
            Protocol::Postgres => {
                let length = (message.len() - 1) as u32;
                message[1..5].copy_from_slice(&length.to_be_bytes());
            }
            Protocol::MySql => {
                let length = (message.len() - 4) as u32;
                message[..3].copy_from_slice(&length.to_le_bytes()[..3]);
            }
        }
    }

    async fn read(&mut self, bytes: usize, message: &mut Vec<u8>) -> io::Result<()> {
        let from = message.len();
        message.resize(from + bytes, 0);
        self.reader.read_exact(&mut message[from..]).await.map(drop)
    }
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the messages that are read, and whether they count.
    async fn cut(protocol: Protocol, way: Way, phase: &Phase, bytes: &[u8]) -> Vec<(usize, bool)> {
        let mut messages = Messages::new(bytes, protocol, way);
        let (mut message, mut all) = (Vec::new(), Vec::new());
        while let Ok(counts) = messages.next(phase, &mut message).await {
            all.push((message.len(), counts));
        }
        all
    }

    fn start(code: u32, rest: &[u8]) -> Vec<u8> {
        let length = 8 + rest.len() as u32;
        [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
    }

    #[tokio::test]
    async fn postgres_is_cut_from_its_start_on() {
        let phase = Phase::default();
        let hello = start(196_608, b"user\0ann\0\0");
        let client =
            [&start(ENCRYPTION[0], b"")[..], &hello, b"Q\0\0\0\x06;\0", b"X\0\0\0\x04"].concat();
        let expected = [(8, true), (18, true), (7, true), (5, true)];
        let (way, postgres) = (Way::ToServer, Protocol::Postgres);
        assert_eq!(cut(postgres, way, &phase, &client).await, expected);
        let server = b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
        let expected = [(1, true), (9, true), (6, true)];
        assert_eq!(cut(postgres, Way::ToClient, &phase, server).await, expected);
        // A message that is not whole is none.
        assert_eq!(cut(postgres, Way::ToClient, &phase, b"Z\0\0\0\x05").await, []);
    }

    #[tokio::test]
    async fn what_is_encrypted_is_not_counted() {
        let phase = Phase::default();
        let client = start(ENCRYPTION[0], b"");
        cut(Protocol::Postgres, Way::ToServer, &phase, &client).await;
        let server = cut(Protocol::Postgres, Way::ToClient, &phase, b"Sabcdef").await;
        assert_eq!(server, [(1, true), (6, false)]);
        let phase = Phase::default();
        let tls = [4, 0, 0, 1, 0, 8, 0, 0, 22, 3, 1];
        let client = cut(Protocol::MySql, Way::ToServer, &phase, &tls).await;
        assert_eq!(client, [(8, true), (3, false)]);
    }

    #[test]
    fn a_message_that_is_changed_stays_a_message() {
        let messages = |protocol| Messages::new(&b""[..], protocol, Way::ToServer);
        let mut message = b"Q\0\0\0\x0bCOMMIT\0".to_vec();
        messages(Protocol::Postgres).change(&mut message, 5..11, "ROLLBACK");
        assert_eq!(message, b"Q\0\0\0\x0dROLLBACK\0");
        let mut message = b"\x07\0\0\0\x03COMMIT".to_vec();
        messages(Protocol::MySql).change(&mut message, 5..11, "ROLLBACK");
        assert_eq!(message, b"\x09\0\0\0\x03ROLLBACK");
    }

    #[tokio::test]
    async fn mysql_is_cut_into_packets() {
        let phase = Phase::default();
        let packets = [&[5, 0, 0, 1, 0x0d, 0xa6, 3, 0, 9][..], &[1, 0, 0, 0, 14], &[0, 0, 0, 2]];
        let all = cut(Protocol::MySql, Way::ToServer, &phase, &packets.concat()).await;
        assert_eq!(all, [(9, true), (5, true), (4, true)]);
        let long = [&[0, 1, 1, 0][..], &[7; 0x10100]].concat();
        let all = cut(Protocol::MySql, Way::ToClient, &phase, &long).await;
        assert_eq!(all, [(0x10104, true)]);
    }
}
