//! The kernel yardstick: what one small send to one of many sockets costs on this machine, right now.
//!
//! Rates of a server vary with the host's mood; multiples of this price vary far less.

use crate::meter;
use anyhow::{Context, Result, anyhow};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SOCKETS: usize = 1000;
/// A WebSocket frame with 100 bytes of payload in the leanest envelope.
const MESSAGE: [u8; 118] = [b'x'; 118];

/// Sends one message after the other to 1000 loopback sockets for `duration`, while a second thread drains them.
///
/// Returns the sending thread's CPU time per message in microseconds.
pub fn measure(duration: Duration) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen for the kernel yardstick")?;
    let address = listener.local_addr()?;
    let mut senders = Vec::with_capacity(SOCKETS);
    let mut receivers = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        let sender = TcpStream::connect(address).context("connect for the kernel yardstick")?;
        sender.set_nodelay(true)?;
        senders.push(sender);
        let (receiver, _) = listener.accept()?;
        receiver.set_nonblocking(true)?;
        receivers.push(mio::net::TcpStream::from_std(receiver));
    }
    let drain = std::thread::spawn(move || drain(receivers));
    let before = meter::thread_cpu()?;
    let began = Instant::now();
    let mut sent = 0u64;
    while began.elapsed() < duration {
        for sender in &mut senders {
            sender.write_all(&MESSAGE).context("send for the kernel yardstick")?;
        }
        sent += senders.len() as u64;
    }
    let spent = meter::thread_cpu()? - before;
    drop(senders);
    let received = drain.join().map_err(|_| anyhow!("the draining thread panicked"))??;
    if received != sent * MESSAGE.len() as u64 {
        return Err(anyhow!(
            "kernel yardstick sent {} bytes and received {received}",
            sent * MESSAGE.len() as u64
        ));
    }
    Ok(spent.as_secs_f64() * 1e6 / sent as f64)
}

fn drain(receivers: Vec<mio::net::TcpStream>) -> Result<u64> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut open = receivers.len();
    let mut receivers: Vec<_> = receivers.into_iter().map(Some).collect();
    for (index, receiver) in receivers.iter_mut().flatten().enumerate() {
        poll.registry().register(receiver, Token(index), Interest::READABLE)?;
    }
    let mut buffer = vec![0; 64 << 10];
    let mut received = 0;
    while open > 0 {
        poll.poll(&mut events, None)?;
        for event in events.iter() {
            let slot = &mut receivers[event.token().0];
            while let Some(receiver) = slot {
                match receiver.read(&mut buffer) {
                    Ok(0) => {
                        open -= 1;
                        *slot = None;
                    }
                    Ok(count) => {
                        received += count as u64;
                        if count < buffer.len() && !event.is_read_closed() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("drain the kernel yardstick"),
                }
            }
        }
    }
    Ok(received)
}
