//! A session: requests go out, answers come in.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::error::{Error, ServerError};
use super::message::{Message, Row, Status, take};
use crate::postgres::server::Stream;

/// Rows of one request, in bytes; no statement of a lane gives more.
const MOST: usize = 256 << 20;

/// The last words of a session.
const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// The answers to the statements of a request.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Answers {
    /// Of each statement that was done.
    pub(in crate::postgres) done: Vec<Answer>,
    /// Of the first one that was not.
    pub(in crate::postgres) error: Option<Box<ServerError>>,
    /// Where the session stands now.
    pub(in crate::postgres) status: Status,
}

/// The answer to a statement.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Answer {
    /// What was done, such as `COPY 5000`.
    pub(in crate::postgres) tag: String,
    pub(in crate::postgres) rows: Vec<Row>,
}

/// A session with a server. A future of it can be dropped at any time; the next
/// one goes on where that one was.
pub(in crate::postgres) struct Connection {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    /// What was read and not yet understood.
    read: BytesMut,
    heard: VecDeque<Message>,
    /// What is to be sent.
    outgoing: BytesMut,
    /// The answers to the oldest request, as far as they came.
    answers: Answers,
    rows: Vec<Row>,
    size: usize,
    patience: Duration,
    /// Why nothing more will be heard.
    trouble: Option<Error>,
    /// The process that serves it, as the server said at the beginning.
    pub(in crate::postgres) process: Option<i32>,
}

impl Connection {
    /// On a stream on which nothing was said yet. A server that is silent for
    /// `patience` is given up.
    pub(super) fn new(stream: Stream, patience: Duration) -> Self {
        let (reader, writer) = split(stream);
        Self {
            reader,
            writer,
            read: BytesMut::new(),
            heard: VecDeque::new(),
            outgoing: BytesMut::new(),
            answers: Answers::default(),
            rows: Vec::new(),
            size: 0,
            patience,
            trouble: None,
            process: None,
        }
    }

    /// Sends, and reads meanwhile what comes: a server that can't get rid of
    /// its notices reads nothing.
    pub(in crate::postgres) async fn send(&mut self, bytes: BytesMut) -> Result<(), Error> {
        if self.outgoing.is_empty() {
            self.outgoing = bytes;
        } else {
            self.outgoing.extend_from_slice(&bytes);
        }
        while self.outgoing.has_remaining() {
            let (writer, reader) = (&mut self.writer, &mut self.reader);
            let (outgoing, read) = (&mut self.outgoing, &mut self.read);
            let moved = async {
                tokio::select! {
                    biased;
                    sent = writer.write_buf(outgoing) => nonzero(sent?, io::ErrorKind::WriteZero),
                    read = reader.read_buf(read) => nonzero(read?, io::ErrorKind::UnexpectedEof),
                }
            };
            within(self.patience, moved).await?;
            self.understand()?;
        }
        Ok(self.writer.flush().await?)
    }

    /// The answers to the oldest request that has none yet.
    ///
    /// # Errors
    /// The session is over, and nobody knows how far the request was done.
    pub(in crate::postgres) async fn answers(&mut self) -> Result<Answers, Error> {
        loop {
            match self.receive().await? {
                Message::Row(row) => self.rows.push(row),
                Message::Complete(tag) => {
                    let rows = std::mem::take(&mut self.rows);
                    self.answers.done.push(Answer { tag, rows });
                }
                Message::Error(error) if error.is_fatal() => return Err(Error::Server(error)),
                Message::Error(error) => {
                    self.rows.clear();
                    self.answers.error.get_or_insert(error);
                }
                Message::Ready(status) => {
                    self.size = 0;
                    return Ok(Answers { status, ..std::mem::take(&mut self.answers) });
                }
                Message::Process(_) | Message::Other => {}
                Message::Authentication(_) => return Err(Error::protocol("a late question")),
            }
        }
    }

    /// Waits until [`answers`](Self::answers) need not wait, or the session is
    /// over.
    pub(in crate::postgres) async fn wait_for_answers(&mut self) {
        let is_end = |message: &Message| match message {
            Message::Ready(_) => true,
            Message::Error(error) => error.is_fatal(),
            _ => false,
        };
        while self.trouble.is_none() && !self.heard.iter().any(is_end) {
            self.trouble = self.read_more().await.err();
        }
    }

    /// The next message that is of account.
    pub(super) async fn receive(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.heard.pop_front() {
                return Ok(message);
            }
            if let Some(error) = self.trouble.take() {
                return Err(error);
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), Error> {
        let (reader, read) = (&mut self.reader, &mut self.read);
        let more = async { nonzero(reader.read_buf(read).await?, io::ErrorKind::UnexpectedEof) };
        within(self.patience, more).await?;
        self.understand()
    }

    /// Takes the messages out of what was read.
    fn understand(&mut self) -> Result<(), Error> {
        while let Some(message) = take(&mut self.read)? {
            if let Message::Row(row) = &message {
                self.size += row.iter().flatten().map(|v| v.len() + 64).sum::<usize>();
            }
            if message != Message::Other {
                self.heard.push_back(message);
            }
        }
        if self.size > MOST {
            return Err(Error::protocol("more rows than anybody asked for"));
        }
        Ok(())
    }
}

fn nonzero(moved: usize, or: io::ErrorKind) -> Result<(), Error> {
    if moved > 0 { Ok(()) } else { Err(Error::Lost(or.into())) }
}

async fn within(
    patience: Duration,
    moved: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    tokio::time::timeout(patience, moved).await.unwrap_or(Err(Error::Silent(patience)))
}

/// Says goodbye if that costs no waiting.
impl Drop for Connection {
    fn drop(&mut self) {
        if self.outgoing.is_empty() {
            let mut context = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.writer).poll_write(&mut context, TERMINATE);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
