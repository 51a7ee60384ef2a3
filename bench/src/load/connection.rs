//! One simulated client: its socket, how far it has got, and what it has seen.

use crate::ledger::{ChannelIndex, Cursor};
use crate::wire::command::Position;
use anyhow::{Result, bail};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};

/// What a client is to do once connected.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connection token.
    pub token: String,
    /// Channel to subscribe to, if any.
    pub channel: Option<ChannelIndex>,
    /// Position to recover from; offsets must equal sequence numbers, as they do in a channel born in this run.
    pub recover: Option<Position>,
}

/// How far a client has got; phases follow each other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Connecting,
    Upgrading,
    Authenticating,
    Subscribing,
    Ready,
    Closed,
}

pub struct Connection {
    pub stream: TcpStream,
    pub phase: Phase,
    pub plan: Plan,
    pub cursor: Cursor,
    /// End of the stream at the time of subscribing.
    pub position: Position,
    pub opened_ns: u64,
    pub last_id: u32,
    /// Start of a frame whose rest has not arrived; empty and unallocated most of the time.
    pub partial: Vec<u8>,
    /// Bytes the socket has not taken yet; bounded by what the scenario lets be outstanding.
    pub out: Vec<u8>,
}

/// What a read brought.
pub enum Arrival {
    Bytes(usize),
    Nothing,
    End,
}

impl Connection {
    pub fn new(stream: TcpStream, plan: Plan, opened_ns: u64) -> Self {
        Self {
            stream,
            phase: Phase::Connecting,
            plan,
            cursor: Cursor::default(),
            position: Position::default(),
            opened_ns,
            last_id: 0,
            partial: Vec::new(),
            out: Vec::new(),
        }
    }

    pub fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    pub fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Connecting | Phase::Closed)
    }

    /// Writes as much of the outgoing bytes as the socket takes; the rest waits for the next writable event.
    pub fn flush(&mut self) -> Result<()> {
        let mut written = 0;
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(0) => bail!("socket takes no bytes"),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Arrival> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Arrival::End),
                Ok(count) => return Ok(Arrival::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Arrival::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
