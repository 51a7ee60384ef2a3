//! What becomes of received bytes: frames, chunks and messages, each checked against the ledger.
//!
//! Knows one client at a time; which clients there are and when they are read is the swarm's business.

use super::connection::{Arrival, Connection, Feed, Phase};
use super::grpc_stream::GrpcStream;
use super::transport::Transport;
use crate::clock::Clock;
use crate::ledger::{ChannelIndex, Cursor, Ledger, new_histogram};
use crate::target::Target;
use crate::wire::command::Encoder;
use crate::wire::fossil;
use crate::wire::http1::{Chunk, Head, parse_chunk};
use crate::wire::inflate::Inflater;
use crate::wire::payload::Scanner;
use crate::wire::reply::{self, Message, Subscribed};
use crate::wire::websocket::{self, opcode};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use std::rc::Rc;

const READ_BUFFER: usize = 256 << 10;
const KEPT_PROBLEMS: usize = 5;

/// How deliveries were packed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Reads that brought bytes.
    pub reads: u64,
    /// Bytes they brought; over gRPC those of the messages alone.
    pub bytes: u64,
    /// Frames or chunks that carried at least one publication.
    pub frames: u64,
    /// Frames that were compressed.
    pub compressed: u64,
    /// Publications that came as deltas.
    pub deltas: u64,
}

/// Everything a client's messages act upon, apart from the client itself.
pub(super) struct Core {
    pub target: Target,
    pub clock: Clock,
    pub ledger: Ledger,
    pub encoder: Encoder,
    pub traffic: Traffic,
    pub ready: usize,
    pub closed: usize,
    pub published: u64,
    pub acknowledged: u64,
    pub ready_time: Histogram<u64>,
    pub problems: Vec<String>,
    /// Shared, so that what it found can act on everything else.
    scanner: Rc<Scanner>,
    /// There from the first compressed frame on.
    inflater: Option<Box<Inflater>>,
    scratch: Vec<u8>,
    pieces: Vec<Bytes>,
}

impl Core {
    pub fn new(target: &Target, clock: Clock) -> Self {
        Self {
            target: target.clone(),
            clock,
            ledger: Ledger::new(),
            encoder: Encoder::new(target.protocol),
            traffic: Traffic::default(),
            ready: 0,
            closed: 0,
            published: 0,
            acknowledged: 0,
            ready_time: new_histogram(),
            problems: Vec::new(),
            scanner: Rc::new(Scanner::new()),
            inflater: None,
            scratch: vec![0; READ_BUFFER],
            pieces: Vec::new(),
        }
    }

    pub fn handle(
        &mut self,
        client: &mut Connection,
        readable: bool,
        writable: bool,
        ended: bool,
    ) -> Result<()> {
        if client.phase == Phase::Connecting {
            if let Some(error) = client.stream.take_error()? {
                return Err(error).context("connect");
            }
            if !writable || client.stream.peer_addr().is_err() {
                return Ok(());
            }
            // Frames are small and must leave at once.
            client.stream.set_nodelay(true)?;
            self.greet(client)?;
        }
        if client.grpc.is_some() {
            return self.receive_grpc(client);
        }
        if writable && !client.out.is_empty() {
            client.flush()?;
        }
        if !readable && !ended {
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.receive(client, &mut scratch, ended);
        self.scratch = scratch;
        outcome?;
        if !client.out.is_empty() {
            client.flush()?;
        }
        Ok(())
    }

    /// Says what a connected socket has to say first.
    fn greet(&mut self, client: &mut Connection) -> Result<()> {
        let plan = &client.plan;
        match plan.transport {
            Transport::UniGrpc => {
                let stream = GrpcStream::new(&self.target, client.stream.clone(), &plan.token)?;
                client.grpc = Some(Box::new(stream));
                client.phase = Phase::Authenticating;
            }
            Transport::WebSocket { .. } => {
                // Its connect command has the first id, and follows the upgrade.
                client.out = plan.transport.request(&self.target, 0, &plan.token);
                client.phase = Phase::Upgrading;
            }
            Transport::HttpStream | Transport::Sse | Transport::UniHttpStream | Transport::UniSse => {
                client.last_id += 1;
                client.out = plan.transport.request(&self.target, client.last_id, &plan.token);
                client.phase = Phase::Upgrading;
            }
        }
        Ok(())
    }

    fn receive(&mut self, client: &mut Connection, scratch: &mut [u8], ended: bool) -> Result<()> {
        loop {
            match client.read(scratch)? {
                Arrival::Nothing => return Ok(()),
                Arrival::End => bail!("closed by the server"),
                Arrival::Bytes(count) => {
                    self.traffic.reads += 1;
                    self.traffic.bytes += count as u64;
                    self.consume(client, &scratch[..count])?;
                    // A short read has emptied the socket: the next bytes raise a new event.
                    if count < scratch.len() && !ended {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Reads and writes what HTTP/2 has; its own frames are not seen here, one piece of data is one frame of a server.
    fn receive_grpc(&mut self, client: &mut Connection) -> Result<()> {
        let Some(stream) = &mut client.grpc else {
            return Ok(());
        };
        let mut pieces = std::mem::take(&mut self.pieces);
        let ended = stream.poll(&mut pieces);
        self.traffic.reads += u64::from(!pieces.is_empty());
        let now_ns = self.clock.now_ns();
        // What came before the end counts.
        let read = pieces.drain(..).try_for_each(|piece| {
            self.traffic.bytes += piece.len() as u64;
            self.body(client, &piece, now_ns)
        });
        self.pieces = pieces;
        read.and(ended)
    }

    fn consume(&mut self, client: &mut Connection, bytes: &[u8]) -> Result<()> {
        let now_ns = self.clock.now_ns();
        if client.partial.is_empty() {
            let used = self.units(client, bytes, now_ns)?;
            client.partial.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = std::mem::take(&mut client.partial);
            joined.extend_from_slice(bytes);
            let used = self.units(client, &joined, now_ns)?;
            if used < joined.len() {
                joined.drain(..used);
                client.partial = joined;
            }
        }
        Ok(())
    }

    /// Handles whole frames or chunks and returns how many bytes they took.
    fn units(&mut self, client: &mut Connection, bytes: &[u8], now_ns: u64) -> Result<usize> {
        match client.plan.transport {
            Transport::WebSocket { deflate } => self.frames(client, bytes, deflate, now_ns),
            _ => self.chunks(client, bytes, now_ns),
        }
    }

    fn chunks(&mut self, client: &mut Connection, bytes: &[u8], now_ns: u64) -> Result<usize> {
        let mut used = 0;
        if client.phase == Phase::Upgrading {
            let Some(head) = Head::parse(bytes)? else {
                return Ok(0);
            };
            used = head.bytes.len();
            if head.status != 200 {
                let start = &bytes[used..bytes.len().min(used + 200)];
                bail!("refused with HTTP {}: {:?}", head.status, String::from_utf8_lossy(start));
            }
            if !head.is_chunked() {
                bail!("body of a stream comes without chunks");
            }
            client.phase = Phase::Authenticating;
        }
        while let Some(chunk) = parse_chunk(&bytes[used..])? {
            match chunk {
                Chunk::Data { data, length } => {
                    used += length;
                    self.body(client, data, now_ns)?;
                }
                Chunk::End { .. } => bail!("stream ended by the server"),
            }
        }
        Ok(used)
    }

    /// Handles the messages that are whole with these bytes of a stream, and keeps the rest.
    fn body(&mut self, client: &mut Connection, bytes: &[u8], now_ns: u64) -> Result<()> {
        let mut joined = std::mem::take(&mut client.message);
        let bytes = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let transport = client.plan.transport;
        let framing = transport.framing(self.target.protocol);
        let dialect = transport.dialect(self.target.protocol, client.plan.feed.wants_delta());
        let mut used = 0;
        let mut publications = 0;
        while let Some(unit) = framing.next(&bytes[used..])? {
            used += unit.length;
            let message = reply::decode_one(dialect, &self.scanner, &unit.message)?;
            publications += u64::from(matches!(message, Message::Publication(_)));
            self.message(client, message, now_ns)?;
        }
        client.message.extend_from_slice(&bytes[used..]);
        self.traffic.frames += u64::from(publications > 0);
        Ok(())
    }

    fn frames(&mut self, client: &mut Connection, bytes: &[u8], deflate: bool, now_ns: u64) -> Result<usize> {
        let mut used = 0;
        if client.phase == Phase::Upgrading {
            let Some(length) = websocket::parse_upgrade(bytes, deflate)? else {
                return Ok(0);
            };
            used = length;
            let id = client.next_id();
            self.encoder.connect(id, &client.plan.token, &mut client.out);
            client.phase = Phase::Authenticating;
        }
        while let Some(frame) = websocket::parse_frame(&bytes[used..], deflate)? {
            used += frame.length;
            match frame.opcode {
                opcode::TEXT | opcode::BINARY if frame.compressed => {
                    self.traffic.compressed += 1;
                    // Taken out while its output is in use.
                    let mut inflater = self.inflater.take().unwrap_or_else(|| Box::new(Inflater::new()));
                    let outcome = inflater
                        .inflate(frame.payload)
                        .and_then(|payload| self.messages(client, payload, now_ns));
                    self.inflater = Some(inflater);
                    outcome?;
                }
                opcode::TEXT | opcode::BINARY => self.messages(client, frame.payload, now_ns)?,
                opcode::PING => websocket::write_frame(opcode::PONG, frame.payload, &mut client.out),
                opcode::CLOSE => return Err(close_reason(frame.payload)),
                _ => {}
            }
        }
        Ok(used)
    }

    fn messages(&mut self, client: &mut Connection, payload: &[u8], now_ns: u64) -> Result<()> {
        let dialect = client.plan.transport.dialect(self.target.protocol, client.plan.feed.wants_delta());
        let mut publications = 0;
        let scanner = self.scanner.clone();
        let outcome = reply::decode(dialect, &scanner, payload, |message| {
            publications += u64::from(matches!(message, Message::Publication(_) | Message::Patch { .. }));
            self.message(client, message, now_ns)
        });
        self.traffic.frames += u64::from(publications > 0);
        outcome
    }

    /// Acts on one message.
    fn message(&mut self, client: &mut Connection, message: Message, now_ns: u64) -> Result<()> {
        match message {
            Message::Publication(stamp) => {
                self.ledger.deliver(client.plan.channel, &mut client.cursor, stamp, now_ns);
            }
            Message::Patch { data, is_delta } => self.patch(client, data, is_delta, now_ns)?,
            Message::Ping if client.plan.transport.takes_commands() => self.encoder.pong(&mut client.out),
            // The way back of a stream would be another request; scenarios set pings far enough apart.
            Message::Ping => {}
            Message::Published => self.acknowledged += 1,
            Message::Answered(stamp) => {
                self.acknowledged += 1;
                match stamp {
                    Some(stamp) => {
                        self.ledger.deliver(client.plan.channel, &mut client.cursor, stamp, now_ns);
                    }
                    None => self.fail("a call was answered without what it asked for".to_owned()),
                }
            }
            Message::Connected { channels } => self.connected(client, &channels)?,
            Message::Subscribed(subscribed) => {
                if let Some(channel) = client.plan.channel {
                    accept(&mut self.ledger, client, channel, subscribed, now_ns)?;
                }
                client.phase = Phase::Ready;
            }
            Message::Refused { code, message } if client.phase < Phase::Ready => {
                bail!("refused while {:?} with {code} {message:?}", client.phase);
            }
            Message::Refused { code, message } => {
                self.acknowledged += 1;
                self.fail(format!("refused with {code} {message:?}"));
            }
            Message::Ended(how) => bail!(how),
            Message::Other => {}
        }
        if client.phase == Phase::Ready && client.opened_ns != u64::MAX {
            self.ready += 1;
            self.ready_time.saturating_record(now_ns.saturating_sub(client.opened_ns));
            client.opened_ns = u64::MAX;
        }
        Ok(())
    }

    /// Does what the client planned for the time after connecting.
    fn connected(&mut self, client: &mut Connection, granted: &[String]) -> Result<()> {
        client.phase = Phase::Ready;
        let Some(channel) = client.plan.channel else {
            return Ok(());
        };
        let name = self.ledger.channel_name(channel);
        match &client.plan.feed {
            Feed::Subscription { recover, delta } => {
                client.last_id += 1;
                self.encoder.subscribe(client.last_id, name, recover.as_ref(), *delta, &mut client.out);
                client.phase = Phase::Subscribing;
                return Ok(());
            }
            Feed::Grant if !granted.iter().any(|granted| granted == name) => {
                bail!("connected without the channel of the token: {granted:?} instead of {name:?}");
            }
            Feed::Grant | Feed::Answers => {}
        }
        client.cursor = Cursor::starting_at(self.ledger.published(channel) + 1);
        self.ledger.subscribed(channel);
        Ok(())
    }

    /// Makes a publication of what a subscriber with deltas got, and delivers it.
    fn patch(&mut self, client: &mut Connection, data: Vec<u8>, is_delta: bool, now_ns: u64) -> Result<()> {
        let whole = if is_delta {
            self.traffic.deltas += 1;
            let base = client.base.as_deref().context("delta before any publication")?;
            fossil::apply(base, &data)?
        } else {
            data
        };
        // A publication of somebody else may still be what the next delta applies to.
        if let Some(stamp) = self.scanner.find(&whole) {
            self.ledger.deliver(client.plan.channel, &mut client.cursor, stamp, now_ns);
        }
        client.base = Some(whole);
        Ok(())
    }

    /// Counts a request that did not do what it was to do.
    fn fail(&mut self, problem: String) {
        self.ledger.faults_mut().failed_requests += 1;
        note(&mut self.problems, problem);
    }

    pub fn close(&mut self, client: &mut Connection, error: &anyhow::Error) {
        note(&mut self.problems, format!("{error:#} (while {:?})", client.phase));
        client.phase = Phase::Closed;
        self.closed += 1;
        self.ledger.faults_mut().disconnects += 1;
        // The socket stays registered until the swarm ends; a closed one raises no further events worth handling.
        let _ = client.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn accept(
    ledger: &mut Ledger,
    client: &mut Connection,
    channel: ChannelIndex,
    subscribed: Subscribed,
    now_ns: u64,
) -> Result<()> {
    client.position = subscribed.position;
    if client.plan.feed.wants_delta() && !subscribed.delta {
        bail!("subscribed without deltas");
    }
    match client.plan.feed.recovers_from() {
        Some(position) => {
            if !subscribed.recovered {
                bail!("not recovered from offset {}", position.offset);
            }
            client.cursor = Cursor::starting_at(position.offset + 1);
            for stamp in subscribed.recovered_stamps {
                ledger.deliver(Some(channel), &mut client.cursor, stamp, now_ns);
            }
        }
        None => client.cursor = Cursor::starting_at(ledger.published(channel) + 1),
    }
    ledger.subscribed(channel);
    Ok(())
}

fn close_reason(payload: &[u8]) -> anyhow::Error {
    match payload {
        [high, low, reason @ ..] => {
            anyhow!("closed with {} {:?}", u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason))
        }
        _ => anyhow!("closed without a code"),
    }
}

fn note(problems: &mut Vec<String>, text: String) {
    if problems.len() < KEPT_PROBLEMS && !problems.contains(&text) {
        problems.push(text);
    }
}
