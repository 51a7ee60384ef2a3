//! One connection: its link, its session, and what is unfinished in either direction.

use super::application::{Asked, Feeds};
use super::body::Taken;
use super::link::Link;
use super::outbox::Outbox;
use super::subscribers::{ChannelIndex, Place};
use crate::observability::Transport as TransportName;
use crate::protocol::Encoding;
use crate::session::{Origin, Session, Settings, Transport};
use crate::transport::framing::Framing;
use crate::transport::websocket::assembler::Partial;
use gyre_proto::client;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes of commands that wait for a busy session before nothing more is read from its peer.
const HELD_LIMIT: usize = 64 * 1024;

/// Names a connection of one shard for as long as it lives; slots are used again, generations are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Everything that decides how the bytes of a message look on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// JSON or Protobuf.
    pub encoding: Encoding,
    /// Pushes go bare, not wrapped in replies.
    pub unidirectional: bool,
    /// permessage-deflate was negotiated.
    pub compression: bool,
    /// How messages are told apart.
    pub framing: Framing,
}

/// What the handshake settled.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// What metrics call the transport; limits are by it too.
    pub name: TransportName,
    /// How messages look.
    pub wire: Wire,
    /// How the transport behaves.
    pub transport: Transport,
    /// What the HTTP request says about the user.
    pub origin: Origin,
    /// What the peer sent already: bytes behind the handshake, or with other framings than WebSocket the first
    /// frame, which counts even when it is empty.
    pub early: Option<Vec<u8>>,
    /// The connect request of a unidirectional connection, when it came with the handshake.
    pub connect: Option<Box<client::ConnectRequest>>,
    /// The last message says why the server ends the connection.
    pub disconnect_push: bool,
    /// A close frame says why the server ends the connection, and the peer is given time to answer it.
    pub close_frame: bool,
}

impl Handshake {
    /// A handshake as it is for most connections of `wire`: with a disconnect push unless a close frame says the
    /// same, by nobody in particular, with nothing that came early.
    pub fn new(name: TransportName, wire: Wire) -> Self {
        let close_frame = wire.framing == Framing::WebSocket;
        Self {
            name,
            wire,
            transport: Transport {
                unidirectional: wire.unidirectional,
                text_payloads: wire.encoding == Encoding::Json,
                ..Transport::default()
            },
            origin: Origin::default(),
            early: None,
            connect: None,
            disconnect_push: wire.unidirectional || !close_frame,
            close_frame,
        }
    }
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Messages flow.
    Open,
    /// The connect command was refused, or a close frame is on its way: what the peer sends is dropped
    /// until it closes.
    Lingering,
    /// What waits is written, then the link goes.
    Finishing,
}

/// Native pings of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct NativePing {
    pub(super) next: Instant,
    /// The peer must have sent something by then.
    pub(super) deadline: Instant,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    /// Each ping must be answered within `timeout`, however late the answer to the one before it was.
    pub(super) strict: bool,
}

impl NativePing {
    /// Pings instead of those of the session, for a peer that asked for it.
    pub(super) fn instead(settings: &Settings, now: Instant) -> Option<Box<Self>> {
        let interval = settings.ping_interval;
        (!interval.is_zero()).then(|| Self::new(interval, settings.pong_timeout, false, now))
    }

    /// Pings beside those of the session, which nobody answers on unidirectional connections.
    ///
    /// Source: row UWS-2 of the protocol; they cannot be switched off.
    pub(super) fn beside(settings: &Settings, now: Instant) -> Box<Self> {
        let or = |own: Duration, default: Duration| if own.is_zero() { default } else { own };
        let interval = or(settings.ping_interval, DEFAULT_PING_INTERVAL);
        // The session pings first after half to a whole interval, so that these come between its pings.
        let begin = now + interval / 4;
        Self::new(interval, or(settings.pong_timeout, DEFAULT_PONG_TIMEOUT), true, begin)
    }

    fn new(interval: Duration, timeout: Duration, strict: bool, now: Instant) -> Box<Self> {
        let next = now + interval;
        Box::new(Self { next, deadline: next + timeout, interval, timeout, strict })
    }
}

/// Native pings of unidirectional WebSockets when pings are switched off.
const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(25);
/// How long the answer to one may take when pongs are not waited for.
const DEFAULT_PONG_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Connection {
    pub(super) key: Key,
    pub(super) link: Link,
    pub(super) wire: Wire,
    pub(super) name: TransportName,
    pub(super) disconnect_push: bool,
    /// Nothing was pushed yet, and a refusal will not be: the transport tells it in another way.
    pub(super) unannounced: bool,
    pub(super) close_frame: bool,
    pub(super) phase: Phase,
    /// It is in the list of connections to flush.
    pub(super) dirty: bool,
    /// It is in the list of connections to read again.
    pub(super) starved: bool,
    /// It is reported when it becomes writable.
    pub(super) blocked: bool,
    /// Bytes of the outbox that are part of the shard's sum of waiting bytes.
    pub(super) counted: usize,
    /// It must be closed as slow.
    pub(super) too_slow: bool,
    /// Lingering without having sent a close frame: the peer's is echoed.
    pub(super) awaits_close: bool,
    /// What the peer sends is dropped unread, because it cannot be parsed any more.
    pub(super) deaf: bool,
    pub(super) outbox: Outbox,
    pub(super) session: Session,
    pub(super) places: SmallVec<[Place; 2]>,
    pub(super) partial: Option<Box<Partial>>,
    /// What came while the session was busy.
    pub(super) held: Option<Box<Held>>,
    /// When the link must have moved, or the end must have come.
    pub(super) deadline: Option<Instant>,
    /// Questions whose answers are on their way.
    pub(super) asked: Vec<Asked>,
    /// Streams of the application; boxed because few have any.
    pub(super) feeds: Option<Box<Feeds>>,
    /// The entry in the timer heap.
    pub(super) scheduled: Option<Instant>,
    pub(super) native_ping: Option<Box<NativePing>>,
}

/// What came from a peer while its session was busy, in the order it came.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Frames, or what is left of them.
    pub(super) frames: VecDeque<HeldFrame>,
    pub(super) bytes: usize,
    /// Whoever sent the frame whose last command is being answered waits until it was.
    pub(super) taken: Option<Taken>,
    /// How the peer ended after them.
    pub(super) end: Option<End>,
}

/// A frame, or what is left of it, that waits for its session.
#[derive(Debug)]
pub(super) struct HeldFrame {
    pub(super) bytes: Vec<u8>,
    /// Whoever sent it waits until it was handled.
    pub(super) taken: Option<Taken>,
}

/// How a peer ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// With a close frame of this code.
    Closed(Option<u16>),
    /// By closing its side of the link.
    Gone,
}

impl Held {
    /// What a frame takes beside its bytes, so that empty ones are counted too.
    const FRAME_COST: usize = 64;

    pub(super) fn push(&mut self, frame: HeldFrame) {
        self.bytes += frame.bytes.len() + Self::FRAME_COST;
        self.frames.push_back(frame);
    }

    /// Puts back what is left of a frame that was popped.
    pub(super) fn put_back(&mut self, rest: HeldFrame) {
        self.bytes += rest.bytes.len() + Self::FRAME_COST;
        self.frames.push_front(rest);
    }

    pub(super) fn pop(&mut self) -> Option<HeldFrame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.bytes.len() + Self::FRAME_COST;
        Some(frame)
    }
}

impl Connection {
    /// Drops what the session, which has ended, wanted to know and do.
    pub(super) fn give_up(&mut self) {
        self.asked = Vec::new();
        self.feeds = None;
        self.held = None;
    }

    /// Whether commands have to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.phase == Phase::Open && self.session.is_busy()
    }

    /// Whether nothing more is to be read for now. The peer feels it when its buffers are full.
    pub(super) fn is_full(&self) -> bool {
        let Some(held) = self.held.as_ref().filter(|_| self.phase == Phase::Open) else { return false };
        held.end.is_some() || (held.bytes >= HELD_LIMIT && self.session.is_busy())
    }

    /// Whether the peer did something before it ended that has to be done first.
    pub(super) fn outlives_peer(&self) -> bool {
        self.phase == Phase::Open && (self.held.is_some() || self.session.is_at_work())
    }

    pub(super) fn place(&self, channel: ChannelIndex) -> Option<Place> {
        self.places.iter().copied().find(|place| place.channel == channel)
    }

    pub(super) fn take_place(&mut self, channel: ChannelIndex) -> Option<Place> {
        let at = self.places.iter().position(|place| place.channel == channel)?;
        Some(self.places.swap_remove(at))
    }

    /// When something has to be looked at.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let native = self.native_ping.as_ref().map(|ping| ping.next.min(ping.deadline));
        [self.session.next_deadline(), self.deadline, native].into_iter().flatten().min()
    }
}
