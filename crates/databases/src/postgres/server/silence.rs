//! A server that owes an answer and says nothing: taken for gone after a while,
//! as nobody else would notice.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// ReadyForQuery, up to its last byte: the end of every answer.
const READY: [u8; 5] = [b'Z', 0, 0, 0, 5];

/// Watches what is said on a connection.
pub(super) struct Silence {
    patience: Duration,
    /// Something was sent and is not answered to its end.
    owed: bool,
    /// The last bytes that came.
    last: [u8; 6],
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    /// A silence of `patience` is one too long.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, owed: false, last: [0; 6], timer: Box::pin(sleep(patience)) }
    }

    /// Something was sent. The task is woken when the answer is overdue.
    pub(super) fn sent(&mut self, context: &mut Context<'_>) {
        self.owed = true;
        self.begin_again();
        let _ = self.timer.as_mut().poll(context);
    }

    /// Something came.
    pub(super) fn heard(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(self.last.len())..];
        self.last.rotate_left(new.len());
        let kept = self.last.len() - new.len();
        self.last[kept..].copy_from_slice(new);
        self.owed = !self.last.starts_with(&READY);
        self.begin_again();
    }

    /// Ready once the answer is overdue.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if !self.owed {
            return Poll::Pending;
        }
        ready!(self.timer.as_mut().poll(context));
        let said = format!("it says nothing for {} s", self.patience.as_secs());
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, said))
    }

    fn begin_again(&mut self) {
        self.timer.as_mut().reset(Instant::now() + self.patience);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn is_given_up(silence: &mut Silence) -> bool {
        let late = tokio::time::timeout(Duration::from_millis(200), poll_fn(|c| silence.poll(c)));
        late.await.is_ok()
    }

    async fn ask(silence: &mut Silence) {
        poll_fn(|context| {
            silence.sent(context);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn only_an_answer_that_is_owed_can_be_overdue() {
        let mut silence = Silence::new(Duration::from_millis(20));
        assert!(!is_given_up(&mut silence).await, "nothing was asked");
        ask(&mut silence).await;
        silence.heard(b"C\0\0\0\x0dSELECT 1\0Z\0");
        assert!(is_given_up(&mut silence).await, "half an answer is none");
        silence.heard(b"\0\0\x05I");
        assert!(!is_given_up(&mut silence).await, "all is said");
        ask(&mut silence).await;
        assert!(is_given_up(&mut silence).await, "nothing is answered");
    }
}
