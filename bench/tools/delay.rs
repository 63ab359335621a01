//! A link that takes its time: hands bytes on, in both directions, so many
//! microseconds after they came, and holds nothing else back:
//!
//! ```text
//! delay PORT MICROSECONDS TARGET-PORT
//! ```
//!
//! One thread reads and stamps, another waits and writes, so what is under way
//! at once is bounded by the queue alone (64 MiB) and not by the delay.

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 * 1024;
const BLOCKS: usize = 1024;

struct Block {
    due: Instant,
    bytes: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [port, delay, target] = args.as_slice() else {
        return Err("usage: delay PORT MICROSECONDS TARGET-PORT".into());
    };
    let delay = Duration::from_micros(delay.parse()?);
    let target: u16 = target.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>()?))?;
    println!("ready");
    for client in listener.incoming() {
        let (client, server) = (client?, TcpStream::connect(("127.0.0.1", target))?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        link(client.try_clone()?, server.try_clone()?, delay);
        link(server, client, delay);
    }
    Ok(())
}

/// Hands on what comes from one side to the other, until either is closed.
fn link(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = sync_channel(BLOCKS);
    thread::spawn(move || take(from, &sender, delay));
    thread::spawn(move || hand_on(to, &receiver));
}

fn take(mut from: TcpStream, queue: &SyncSender<Block>, delay: Duration) {
    let mut buffer = vec![0; BLOCK];
    while let Ok(n) = from.read(&mut buffer) {
        let block = Block { due: Instant::now() + delay, bytes: buffer[..n].to_vec() };
        if n == 0 || queue.send(block).is_err() {
            break;
        }
    }
}

fn hand_on(mut to: TcpStream, queue: &Receiver<Block>) {
    for block in queue {
        thread::sleep(block.due.saturating_duration_since(Instant::now()));
        if to.write_all(&block.bytes).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Both);
}
