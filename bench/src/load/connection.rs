//! One simulated client: its socket, how far it has got, and what it has seen.

use super::grpc_stream::GrpcStream;
use super::transport::Transport;
use crate::ledger::{ChannelIndex, Cursor};
use crate::wire::command::Position;
use anyhow::{Result, bail};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;

/// What a client is to do once connected.
#[derive(Clone, Debug)]
pub struct Plan {
    pub transport: Transport,
    /// Connection token.
    pub token: String,
    /// Channel whose publications are due to the client, if any.
    pub channel: Option<ChannelIndex>,
    pub feed: Feed,
}

/// How what is due to a client comes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// It subscribes to the channel.
    Subscription {
        /// Position to recover from; offsets must equal sequence numbers, as they do in a channel born in this run.
        recover: Option<Position>,
        /// Whether to ask for deltas.
        delta: bool,
    },
    /// The server subscribes it, because its token says so.
    Grant,
    /// It gets the answers to its own calls: each counts as a publication in a channel only it listens to.
    Answers,
}

impl Feed {
    /// A subscription from now on.
    pub const SUBSCRIPTION: Self = Self::Subscription { recover: None, delta: false };

    pub fn recovers_from(&self) -> Option<&Position> {
        match self {
            Self::Subscription { recover, .. } => recover.as_ref(),
            Self::Grant | Self::Answers => None,
        }
    }

    pub fn wants_delta(&self) -> bool {
        matches!(self, Self::Subscription { delta: true, .. })
    }
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
    /// Shared with the HTTP/2 connection where there is one.
    pub stream: Rc<TcpStream>,
    /// Set once a client of a gRPC stream is connected.
    pub grpc: Option<Box<GrpcStream>>,
    pub phase: Phase,
    pub plan: Plan,
    pub cursor: Cursor,
    /// End of the stream at the time of subscribing.
    pub position: Position,
    pub opened_ns: u64,
    pub last_id: u32,
    /// Start of a frame or chunk whose rest has not arrived; empty and unallocated most of the time.
    pub partial: Vec<u8>,
    /// Start of a message whose rest is not in this chunk; as `partial`.
    pub message: Vec<u8>,
    /// Payload of the last publication, to which the next delta applies; for clients that take deltas.
    pub base: Option<Vec<u8>>,
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
            stream: Rc::new(stream),
            grpc: None,
            phase: Phase::Connecting,
            plan,
            cursor: Cursor::default(),
            position: Position::default(),
            opened_ns,
            last_id: 0,
            partial: Vec::new(),
            message: Vec::new(),
            base: None,
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
            match (&*self.stream).write(&self.out[written..]) {
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
            match (&*self.stream).read(buffer) {
                Ok(0) => return Ok(Arrival::End),
                Ok(count) => return Ok(Arrival::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Arrival::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
