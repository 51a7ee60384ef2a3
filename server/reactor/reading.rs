//! What happens on links: connections come, bytes arrive, peers go.

use super::body::{Found, Taken};
use super::connection::{Connection, End, Handshake, Held, HeldFrame, Key, NativePing, Phase, Wire};
use super::link::Link;
use super::outbox::Outbox;
use super::sessions::WayIn;
use super::shard::{LINGER, PONG_BACKLOG, READS_PER_TURN, Shard};
use super::telemetry;
use crate::protocol;
use crate::seams::random_id;
use crate::session::Session;
use crate::transport::framing::Framing;
use crate::transport::websocket::assembler::{self, Event, Flow};
use crate::transport::websocket::frame::{self, Opcode, Violation};
use gyre_proto::client;
use gyre_proto::codes::DisconnectCode;
use mio::{Interest, Token};
use smallvec::SmallVec;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Shard {
    pub(super) fn accept(&mut self, mut link: Link, handshake: Handshake) {
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        self.generation = self.generation.wrapping_add(1);
        let key = Key { slot: slot as u32, generation: self.generation };
        match &mut link {
            Link::Socket(socket) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                let stream = socket.stream_mut();
                if let Err(error) = self.poll.registry().register(stream, Token(slot), interest) {
                    tracing::error!(%error, "connection cannot be watched");
                    return;
                }
            }
            Link::Body(pipe) => pipe.adopt(key),
        }
        let settings = &self.environment.settings;
        let Handshake { name, wire, transport, origin, early, connect, disconnect_push, close_frame } =
            handshake;
        let session_id = (transport.unidirectional || transport.emulation).then(random_id);
        if let (Link::Body(pipe), Some(session), true) = (&link, session_id, transport.emulation) {
            let way = WayIn { input: pipe.input(), encoding: wire.encoding };
            self.shared.sessions.enter(session, way);
        }
        let now = self.now;
        let native_ping = match wire.framing {
            Framing::WebSocket if transport.native_ping => NativePing::instead(settings, now.instant),
            Framing::WebSocket if wire.unidirectional => Some(NativePing::beside(settings, now.instant)),
            _ => None,
        };
        entry.insert(Connection {
            key,
            link,
            wire,
            name,
            disconnect_push,
            unannounced: transport.keeps_errors,
            close_frame,
            phase: Phase::Open,
            dirty: false,
            starved: false,
            blocked: false,
            counted: 0,
            too_slow: false,
            awaits_close: false,
            deaf: false,
            outbox: Outbox::default(),
            session: Session::new(random_id(), session_id, transport, origin, now, settings),
            places: SmallVec::new(),
            partial: None,
            held: None,
            deadline: None,
            asked: Vec::new(),
            feeds: None,
            scheduled: None,
            native_ping,
        });
        self.shared.traffic.connections.fetch_add(1, Ordering::Relaxed);
        self.reschedule(key);
        if let Some(close) = self.draining.clone() {
            return self.input(key, |session, cx| session.close_with(close, cx));
        }
        if let Some(connect) = connect {
            self.input(key, |session, cx| session.on_unidirectional_connect(*connect, cx));
        }
        if let Some(early) = early {
            self.on_chunk(key, early, None);
        }
        // A TLS session may hold bytes already, and a pipe may have been used before it was adopted; no event
        // announces either.
        self.read_later(key);
    }

    /// The other end of a pipe did something.
    pub(super) fn on_stirred(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        let Link::Body(pipe) = &connection.link else { return };
        pipe.attend();
        if pipe.is_gone() {
            return self.peer_gone(key);
        }
        if connection.blocked {
            self.mark_dirty(key);
        }
        self.read(key, true);
    }

    /// Reads until the link has nothing more, its turn is over, or enough waits for its session.
    pub(super) fn read(&mut self, key: Key, until_empty: bool) {
        if self.connection(key).is_some_and(|connection| matches!(connection.link, Link::Body(_))) {
            return self.read_pipe(key);
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connection(key) else { break };
            if connection.is_full() {
                // The socket is read again when an answer has come.
                break;
            }
            let outlives_peer = connection.outlives_peer();
            let Link::Socket(socket) = &mut connection.link else { break };
            match socket.read(&mut buffer) {
                Ok(0) if outlives_peer => {
                    connection.held.get_or_insert_default().end = Some(End::Gone);
                    self.read_buffer = buffer;
                    return;
                }
                Ok(0) => {
                    self.peer_gone(key);
                    break;
                }
                Ok(length) => {
                    let may_be_all = length < buffer.len() && socket.short_read_is_all() && !until_empty;
                    self.on_bytes(key, &mut buffer[..length]);
                    if may_be_all {
                        self.read_buffer = buffer;
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.read_buffer = buffer;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.peer_gone(key);
                    break;
                }
            }
        }
        self.read_buffer = buffer;
        self.read_later(key);
    }

    fn read_pipe(&mut self, key: Key) {
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connection(key) else { return };
            if connection.is_full() {
                // The pipe is read again when an answer has come.
                return;
            }
            let waiting = connection.session.is_waiting() || connection.held.is_some();
            let Link::Body(pipe) = &connection.link else { return };
            match pipe.take() {
                Found::Frame(bytes, taken) => self.on_chunk(key, Vec::from(bytes), taken),
                Found::Nothing => return,
                Found::End if connection.phase == Phase::Finishing => return,
                // The peer still waits for what its commands come to.
                Found::End if waiting && connection.phase == Phase::Open => return,
                Found::End => return self.end_session(key, None, Phase::Finishing),
                Found::Failed(close) => {
                    return self.input(key, |session, cx| session.close_with(close, cx));
                }
                Found::Gone => return self.peer_gone(key),
            }
        }
        self.read_later(key);
    }

    /// Takes bytes of a stream of WebSocket frames, or one frame of another framing.
    fn on_chunk(&mut self, key: Key, mut chunk: Vec<u8>, taken: Option<Taken>) {
        match self.connection(key).map(|connection| connection.wire.framing) {
            Some(Framing::WebSocket) => self.on_bytes(key, &mut chunk),
            Some(_) => drop(self.on_frame(key, &chunk, taken)),
            None => {}
        }
    }

    /// Has the link read in the next turn, because the event queue will not report it again.
    pub(super) fn read_later(&mut self, key: Key) {
        if let Some(connection) = self.connection(key)
            && !connection.starved
            && !connection.is_full()
        {
            connection.starved = true;
            self.starved.push(key);
        }
    }

    pub(super) fn on_bytes(&mut self, key: Key, bytes: &mut [u8]) {
        let Some(connection) = self.connection(key).filter(|connection| !connection.deaf) else { return };
        let mut partial = connection.partial.take();
        let limits = self.assembler_limits(key);
        let mut inflater = std::mem::take(&mut self.inflater);
        let result = assembler::feed(&mut partial, bytes, &limits, &mut inflater, &mut |event| {
            self.on_event(key, event)
        });
        self.inflater = inflater;
        if let Some(connection) = self.connection(key) {
            connection.partial = partial;
        }
        if let Err(violation) = result {
            self.on_violation(key, violation);
        }
    }

    pub(super) fn assembler_limits(&mut self, key: Key) -> assembler::Limits {
        let Some((name, compression)) =
            self.connection(key).map(|connection| (connection.name, connection.wire.compression))
        else {
            return assembler::Limits { message_size: 0, inflated_size: 0, compression: false };
        };
        let limits = self.environment.limits.of(name);
        assembler::Limits {
            message_size: limits.message_size,
            inflated_size: limits.inflated_size,
            compression,
        }
    }

    pub(super) fn on_event(&mut self, key: Key, event: Event<'_>) -> Flow {
        let now = self.now.instant;
        let Some(connection) = self.connection(key) else { return Flow::Stop };
        match event {
            Event::Message(_, message) => {
                if connection.phase != Phase::Open {
                    return Flow::Continue;
                }
                self.on_frame(key, message, None)
            }
            Event::Ping(payload) => {
                let mut pong = Vec::with_capacity(payload.len() + 2);
                frame::write_header(&mut pong, Opcode::Pong, false, payload.len());
                pong.extend_from_slice(payload);
                // A short pong takes far more memory than bytes, so a peer that does not read gets no more of
                // them; an answer to the latest ping would do anyway (RFC 6455 §5.5.3).
                if connection.phase == Phase::Open && connection.outbox.bytes() < PONG_BACKLOG {
                    self.send(key, Rc::from(pong));
                }
                Flow::Continue
            }
            Event::Pong => {
                if let Some(ping) = &mut connection.native_ping {
                    ping.deadline = now + ping.interval + ping.timeout;
                }
                Flow::Continue
            }
            Event::Close(code) if connection.outlives_peer() => {
                connection.held.get_or_insert_default().end = Some(End::Closed(code));
                Flow::Stop
            }
            Event::Close(code) => {
                self.on_peer_close(key, code);
                Flow::Stop
            }
        }
    }

    /// Takes a frame; whoever sent it may wait until it was handled.
    fn on_frame(&mut self, key: Key, message: &[u8], taken: Option<Taken>) -> Flow {
        let Some(connection) = self.connection(key) else { return Flow::Stop };
        let wire = connection.wire;
        if wire.unidirectional && wire.framing != Framing::Grpc {
            return self.on_request(key, message);
        }
        if connection.held.is_some() {
            self.hold_back(key, message, taken);
        } else if let Some(rest) = self.run_frame(key, message) {
            self.hold_back(key, &message[rest..], taken);
        } else if let Some(taken) = taken
            && let Some(connection) = self.connection(key).filter(|connection| connection.is_busy())
        {
            connection.held.get_or_insert_default().taken = Some(taken);
        }
        self.next_frame(key)
    }

    /// Handles the commands of a frame until the session is busy; answers where the rest begins, if any.
    fn run_frame(&mut self, key: Key, message: &[u8]) -> Option<usize> {
        let connection = self.connection(key)?;
        if connection.is_busy() {
            return Some(0);
        }
        let wire = connection.wire;
        if wire.framing == Framing::Grpc {
            self.on_single(key, message, wire);
            return None;
        }
        if message.is_empty() {
            self.input(key, |session, cx| session.on_malformed(cx));
        }
        let mut at = 0;
        while at < message.len() {
            let connection = self.connection(key)?;
            if connection.phase != Phase::Open {
                return None;
            }
            if connection.is_busy() {
                return Some(at);
            }
            match protocol::next_command(&message[at..], wire.encoding) {
                Ok((command, used)) => {
                    at += used;
                    self.on_command(key, command, used as u64);
                }
                Err(_) => {
                    self.input(key, |session, cx| session.on_malformed(cx));
                    return None;
                }
            }
        }
        None
    }

    /// Keeps a frame, or the rest of one, until the session has time for it. A pong that is waited for passes: it
    /// says that the peer is there, which must not depend on who answers its commands.
    fn hold_back(&mut self, key: Key, message: &[u8], taken: Option<Taken>) {
        let Some(connection) = self.connection(key).filter(|connection| connection.phase == Phase::Open)
        else {
            return;
        };
        let wire = connection.wire;
        let pong = connection.session.awaits_pong().then(|| find_pong(message, wire)).flatten();
        let kept = match &pong {
            Some(at) => [&message[..at.start], &message[at.end..]].concat(),
            None => message.to_vec(),
        };
        if pong.is_none() || !kept.is_empty() {
            connection.held.get_or_insert_default().push(HeldFrame { bytes: kept, taken });
        }
        if let Some(at) = pong {
            self.on_command(key, client::Command::default(), at.len() as u64);
        }
    }

    /// Takes a frame from the peer of a unidirectional connection: the first is its connect request, others mean
    /// nothing.
    fn on_request(&mut self, key: Key, message: &[u8]) -> Flow {
        let Some(connection) = self.connection(key) else { return Flow::Stop };
        if connection.phase == Phase::Open && connection.session.is_new() {
            match protocol::connect_request(message) {
                Ok(request) => {
                    self.input(key, |session, cx| session.on_unidirectional_connect(request, cx));
                }
                Err(_) => self.refuse_request(key),
            }
        }
        self.next_frame(key)
    }

    /// Ends a connection that did not begin with a connect request. A close frame says so, if anything.
    fn refuse_request(&mut self, key: Key) {
        if !self.connection(key).is_some_and(|connection| connection.close_frame) {
            return self.peer_gone(key);
        }
        let code = DisconnectCode::BadRequest;
        self.end_session(key, frame::close_frame(code as i32 as u16, code.reason()), Phase::Lingering);
    }

    /// Takes a frame that is the message of one command; an empty one is a pong.
    fn on_single(&mut self, key: Key, message: &[u8], wire: Wire) {
        if self.connection(key).is_none_or(|connection| connection.phase != Phase::Open) {
            return;
        }
        match protocol::single_command(message, wire.encoding) {
            Ok(command) => self.on_command(key, command, message.len() as u64),
            Err(_) => self.input(key, |session, cx| session.on_malformed(cx)),
        }
    }

    /// Whether the frame after one that was handled or kept can be taken too.
    fn next_frame(&mut self, key: Key) -> Flow {
        match self.connection(key) {
            Some(connection) if connection.is_full() => Flow::Stop,
            Some(_) => Flow::Continue,
            None => Flow::Stop,
        }
    }

    pub(super) fn on_command(&mut self, key: Key, command: client::Command, size: u64) {
        let kind = telemetry::command(&command);
        self.running = Some((kind, Instant::now()));
        if let Some(name) = self.connection(key).map(|connection| connection.name) {
            self.metrics.received(name, kind, size);
        }
        self.input(key, |session, cx| session.on_command(command, cx));
        self.command_done();
    }

    /// Takes how long the command took whose reply was just queued, unless an answer to it is on its way.
    pub(super) fn command_done(&mut self) {
        if let Some((kind, started)) = self.running.take()
            && kind.is_command()
        {
            let now = Instant::now();
            self.metrics.command(kind, now.duration_since(started), now);
        }
    }

    /// Goes on with what was held back while the session was busy.
    pub(super) fn resume(&mut self, key: Key) {
        let Some(connection) = self.connection(key).filter(|connection| !connection.is_busy()) else {
            return;
        };
        let was_full = connection.is_full();
        if let Some(mut held) = connection.held.take() {
            self.run_held(key, &mut held);
            let Some(connection) = self.connection(key) else { return };
            match held.end.filter(|_| held.frames.is_empty()) {
                Some(end) if !connection.outlives_peer() => return self.on_end(key, end),
                None if held.frames.is_empty() && held.taken.is_none() => {}
                _ => connection.held = Some(held),
            }
        }
        let Some(connection) = self.connection(key) else { return };
        let framing = connection.wire.framing;
        // A pipe may have said that its peer sends nothing more while commands were under way.
        let read_again = was_full || matches!(connection.link, Link::Body(_));
        if was_full && !connection.is_full() && framing == Framing::WebSocket {
            self.on_bytes(key, &mut []);
        }
        if read_again {
            self.read_later(key);
        }
    }

    fn run_held(&mut self, key: Key, held: &mut Held) {
        held.taken = None;
        while let Some(HeldFrame { bytes, taken }) = held.pop() {
            if let Some(rest) = self.run_frame(key, &bytes) {
                return held.put_back(HeldFrame { bytes: bytes[rest..].to_vec(), taken });
            }
            held.taken =
                taken.filter(|_| self.connection(key).is_some_and(|connection| connection.is_busy()));
        }
    }

    fn on_end(&mut self, key: Key, end: End) {
        match end {
            End::Closed(code) => self.on_peer_close(key, code),
            End::Gone => self.peer_gone(key),
        }
    }

    pub(super) fn on_violation(&mut self, key: Key, violation: Violation) {
        let Some(connection) = self.connection(key) else { return };
        connection.deaf = true;
        if connection.phase == Phase::Open {
            let frame = frame::close_frame(violation.close_code(), violation.reason());
            self.end_session(key, frame, Phase::Lingering);
        }
    }

    pub(super) fn on_peer_close(&mut self, key: Key, code: Option<u16>) {
        let Some(connection) = self.connection(key) else { return };
        let owes_echo = connection.phase == Phase::Open || connection.awaits_close;
        if !owes_echo {
            return self.finish(key);
        }
        let echo = match code {
            Some(code) => frame::close_frame(code, ""),
            None => Some(frame::empty_close_frame()),
        };
        self.end_session(key, echo, Phase::Finishing);
    }

    /// Ends the session without telling the peer more than `frame`.
    pub(super) fn end_session(&mut self, key: Key, frame: Option<Vec<u8>>, phase: Phase) {
        let deadline = self.now.instant + LINGER;
        if let Some(connection) = self.connection(key) {
            connection.phase = phase;
            connection.deadline = Some(deadline);
        }
        if let Some(frame) = frame {
            self.send(key, Rc::from(frame));
        }
        self.input(key, |session, cx| session.close(DisconnectCode::ConnectionClosed, cx));
        self.mark_dirty(key);
        self.reschedule(key);
    }

    /// The peer's side is closed: write what waits, then go.
    pub(super) fn finish(&mut self, key: Key) {
        if let Some(connection) = self.connection(key) {
            connection.phase = Phase::Finishing;
        }
        self.mark_dirty(key);
    }

    pub(super) fn peer_gone(&mut self, key: Key) {
        self.input(key, |session, cx| session.close(DisconnectCode::ConnectionClosed, cx));
        self.remove(key);
    }

    /// Drops the link and everything that is left of the connection.
    pub(super) fn remove(&mut self, key: Key) {
        if self.connection(key).is_none() {
            return;
        }
        let mut connection = self.connections.remove(key.slot as usize);
        self.waiting_bytes -= connection.counted;
        if let Some(session) = connection.session.emulated_session() {
            self.shared.sessions.leave(session);
        }
        if !connection.outbox.is_empty() {
            connection.link.abort();
        }
        if let Link::Socket(socket) = &mut connection.link {
            // An error here means the socket is gone from the queue already.
            let _ = self.poll.registry().deregister(socket.stream_mut());
        }
        self.shared.traffic.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where in a frame its first pong is.
fn find_pong(message: &[u8], wire: Wire) -> Option<Range<usize>> {
    if wire.framing == Framing::Grpc {
        return message.is_empty().then_some(0..0);
    }
    let mut at = 0;
    while at < message.len() {
        let (command, used) = protocol::next_command(&message[at..], wire.encoding).ok()?;
        if command.id == 0 && command.send.is_none() {
            return Some(at..at + used);
        }
        at += used;
    }
    None
}
