//! Connections: what comes is handed on, until it is cut.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::framing::{Messages, Phase};
use super::state::State;
use super::{Action, Protocol, Way};

/// Lets every connection through, until the task is aborted.
pub(super) async fn accept(
    listener: TcpListener,
    server: String,
    protocol: Protocol,
    state: Arc<State>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, state) = (server.clone(), Arc::clone(&state));
        tokio::spawn(async move { serve(client, &server, protocol, &state).await });
    }
}

/// How a connection ended.
enum End {
    /// One side went, and the other was told.
    Closed,
    /// It was cut.
    Cut(Action),
}

/// One connection, from its start to its end.
async fn serve(mut client: TcpStream, server: &str, protocol: Protocol, state: &State) {
    match state.fate() {
        Some(Action::BlackHole) => return state.ended().await,
        Some(_) => return reset(client),
        None => {}
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return reset(client) };
    // A message must not wait for the next one.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let end = relay(&mut client, &mut server, protocol, state).await;
    match end {
        End::Closed => drain(server).await,
        End::Cut(Action::LoseReply) => {
            drop(client);
            drain(server).await;
        }
        // Both stay open meanwhile.
        End::Cut(Action::BlackHole) => state.ended().await,
        End::Cut(Action::Drop | Action::Delay(_)) => {
            reset(client);
            reset(server);
        }
    }
}

async fn relay(
    client: &mut TcpStream,
    server: &mut TcpStream,
    protocol: Protocol,
    state: &State,
) -> End {
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let phase = Phase::default();
    let up = Messages::new(from_client, protocol, Way::ToServer);
    let down = Messages::new(from_server, protocol, Way::ToClient);
    tokio::select! {
        end = forward(up, to_server, Way::ToServer, &phase, state) => end,
        end = forward(down, to_client, Way::ToClient, &phase, state) => end,
        action = state.all_cut() => End::Cut(action),
    }
}

/// Hands the messages of one direction on.
async fn forward(
    messages: Messages<ReadHalf<'_>>,
    to: WriteHalf<'_>,
    way: Way,
    phase: &Phase,
    state: &State,
) -> End {
    let mut to = BufWriter::new(to);
    match until_cut(messages, &mut to, way, phase, state).await {
        Ok(action) => {
            state.cut_all();
            End::Cut(action)
        }
        Err(_) => {
            // Half a message is none: whoever reads it sees the connection end.
            let _ = to.shutdown().await;
            End::Closed
        }
    }
}

async fn until_cut(
    mut messages: Messages<ReadHalf<'_>>,
    to: &mut BufWriter<WriteHalf<'_>>,
    way: Way,
    phase: &Phase,
    state: &State,
) -> io::Result<Action> {
    let mut message = Vec::new();
    loop {
        let counts = messages.next(phase, &mut message).await?;
        let action = if counts { state.count(way) } else { None };
        if let Some((range, by)) = state.change(way, &message) {
            messages.change(&mut message, range, by);
        }
        match action {
            Some(Action::Drop | Action::BlackHole) => {}
            Some(Action::Delay(late)) => {
                to.flush().await?;
                tokio::time::sleep(late).await;
                to.write_all(&message).await?;
            }
            Some(Action::LoseReply) | None => to.write_all(&message).await?,
        }
        match action {
            Some(cut @ (Action::Drop | Action::BlackHole | Action::LoseReply)) => {
                to.flush().await?;
                return Ok(cut);
            }
            _ if !messages.has_more() => to.flush().await?,
            _ => {}
        }
    }
}

/// Lets the server do what it was sent, and listens to nothing it says.
async fn drain(mut server: TcpStream) {
    let mut answers = [0; 1 << 12];
    let _ = server.shutdown().await;
    while let Ok(1..) = server.read(&mut answers).await {}
}

/// Closes a connection so that the other side sees it reset.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}
