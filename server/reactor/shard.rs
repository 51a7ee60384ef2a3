//! The loop of one shard: what happened, what was told, what is due, what is to be written.

use super::connection::{Connection, Handshake, Key, NativePing, Phase};
use super::delivery::{Delivery, Encoded, Encoder, Forms, Frame, Kind, Variant};
use super::inbox::{Inbox, Message, WAKE};
use super::outbox::{Flushed, Outbox};
use super::socket::Socket;
use super::subscribers::{Channels, Subscriber};
use super::telemetry;
use super::timers::Timers;
use super::{Environment, Shared};
use crate::broker::StreamPosition;
use crate::node::Target;
use crate::observability::{self, ShardMetrics, Transport};
use crate::protocol::{self, Encoding, Form};
use crate::seams::{Now, random_id};
use crate::session::{self, Close, Effect, Session};
use crate::transport::websocket::assembler::{self, Event, Flow};
use crate::transport::websocket::deflate::Inflater;
use crate::transport::websocket::frame::{self, Opcode, Violation};
use gyre_proto::client;
use gyre_proto::codes::DisconnectCode;
use hashbrown::HashMap;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Bytes read from one socket at a time, into the one buffer all connections share.
const READ_BUFFER: usize = 64 * 1024;

/// Reads from one connection before others get their turn.
const READS_PER_TURN: usize = 4;

/// Bytes that may wait for a peer while its pings are still answered.
const PONG_BACKLOG: usize = 64 * 1024;

/// Time a peer has to close its side.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// One shard.
pub(super) struct Shard {
    pub(super) index: usize,
    poll: Poll,
    pub(super) inbox: Arc<Inbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) environment: Arc<Environment>,
    pub(super) connections: Slab<Connection>,
    generation: u32,
    pub(super) channels: Channels,
    pub(super) users: HashMap<Arc<str>, SmallVec<[Key; 1]>>,
    timers: Timers,
    dirty: Vec<Key>,
    starved: Vec<Key>,
    /// Subscriptions found to have a gap while delivering; told when delivering is done.
    pub(super) behind: Vec<(Key, Arc<str>)>,
    /// Connections whose queue grew too long, or whose payload cannot be written for them.
    failing: Vec<(Key, DisconnectCode)>,
    backlog: VecDeque<Message>,
    spare: Vec<Message>,
    read_buffer: Box<[u8]>,
    write_buffer: Vec<u8>,
    pub(super) encoder: Encoder,
    inflater: Inflater,
    pub(super) effects: VecDeque<Effect>,
    pub(super) now: Now,
    /// Bytes that wait for peers that do not read.
    waiting_bytes: usize,
    draining: Option<Close>,
    stopping: bool,
    pub(super) metrics: Arc<ShardMetrics>,
}

/// What metrics call the transport; the others come through the same shards later.
pub(super) const TRANSPORT: Transport = Transport::WebSocket;

impl Shard {
    pub(super) fn new(
        index: usize,
        poll: Poll,
        inbox: Arc<Inbox>,
        shared: Arc<Shared>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let environment = shared.environment.load_full();
        let now = shared.clock.now();
        let limits = &environment.limits;
        let encoder = Encoder::new(limits.compression_level, limits.compression_min_size);
        let metrics = shared.metrics.add_shard();
        Self {
            metrics,
            index,
            poll,
            inbox,
            shared,
            runtime,
            environment,
            connections: Slab::new(),
            generation: 0,
            channels: Channels::default(),
            users: HashMap::new(),
            timers: Timers::default(),
            dirty: Vec::new(),
            starved: Vec::new(),
            behind: Vec::new(),
            failing: Vec::new(),
            backlog: VecDeque::new(),
            spare: Vec::new(),
            read_buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            write_buffer: Vec::new(),
            encoder,
            inflater: Inflater::new(),
            effects: VecDeque::new(),
            now,
            waiting_bytes: 0,
            draining: None,
            stopping: false,
        }
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        // Futures that are polled here may spawn and set timers as if they were on the runtime.
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        let mut events = Events::with_capacity(1024);
        while !self.stopping {
            let timeout = self.sleep_time();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "event queue failed");
                return;
            }
            self.inbox.woke();
            self.now = self.shared.clock.now();
            for event in &events {
                if event.token() == WAKE {
                    continue;
                }
                let slot = event.token().0;
                let Some(connection) = self.connections.get(slot) else { continue };
                let key = connection.key;
                if event.is_writable() && connection.blocked {
                    self.mark_dirty(key);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.isolated(Some(key), |shard| shard.read(key, event.is_read_closed()));
                }
            }
            for key in std::mem::take(&mut self.starved) {
                if let Some(connection) = self.connection(key) {
                    connection.starved = false;
                    self.isolated(Some(key), |shard| shard.read(key, true));
                }
            }
            self.drain_inbox();
            self.fire_timers();
            self.flush_dirty();
        }
    }

    fn sleep_time(&mut self) -> Option<Duration> {
        let busy = !self.starved.is_empty() || !self.dirty.is_empty() || !self.backlog.is_empty();
        if busy || !self.inbox.may_sleep() {
            return Some(Duration::ZERO);
        }
        // Rounded up, because a queue that wakes too early would spin until the moment comes.
        self.timers.next().map(|at| {
            at.saturating_duration_since(self.shared.clock.now().instant) + Duration::from_millis(1)
        })
    }

    pub(super) fn connection(&mut self, key: Key) -> Option<&mut Connection> {
        self.connections.get_mut(key.slot as usize).filter(|connection| connection.key == key)
    }

    // ---- What happened on sockets ----

    fn accept(&mut self, mut socket: Socket, handshake: Handshake) {
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        self.generation = self.generation.wrapping_add(1);
        let key = Key { slot: slot as u32, generation: self.generation };
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(socket.stream_mut(), Token(slot), interest) {
            tracing::error!(%error, "connection cannot be watched");
            return;
        }
        let settings = &self.environment.settings;
        let Handshake { wire, transport, origin, early } = handshake;
        let session_id = (transport.unidirectional || transport.emulation).then(random_id);
        let now = self.now;
        let native_ping = (transport.native_ping && !settings.ping_interval.is_zero()).then(|| {
            let (interval, timeout) = (settings.ping_interval, settings.pong_timeout);
            let next = now.instant + interval;
            Box::new(NativePing { next, deadline: next + timeout, interval, timeout })
        });
        entry.insert(Connection {
            key,
            socket,
            wire,
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
            running: None,
            scheduled: None,
            native_ping,
        });
        self.shared.traffic.connections.fetch_add(1, Ordering::Relaxed);
        self.reschedule(key);
        if let Some(close) = self.draining.clone() {
            return self.input(key, |session, cx| session.close_with(close, cx));
        }
        if !early.is_empty() {
            let mut early = early;
            self.on_bytes(key, &mut early);
        }
        // A TLS session may hold bytes already, and then no event announces them.
        self.read_later(key);
    }

    /// Reads until the socket has nothing more, its turn is over, or its session is busy.
    fn read(&mut self, key: Key, until_empty: bool) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connection(key) else { break };
            if connection.session.is_busy() && connection.phase == Phase::Open {
                // The socket is read again when the answer has come.
                break;
            }
            match connection.socket.read(&mut buffer) {
                Ok(0) => {
                    self.peer_gone(key);
                    break;
                }
                Ok(length) => {
                    let may_be_all =
                        length < buffer.len() && connection.socket.short_read_is_all() && !until_empty;
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

    /// Has the socket read in the next turn, because the event queue will not report it again.
    pub(super) fn read_later(&mut self, key: Key) {
        if let Some(connection) = self.connection(key)
            && !connection.starved
            && !(connection.session.is_busy() && connection.phase == Phase::Open)
        {
            connection.starved = true;
            self.starved.push(key);
        }
    }

    fn on_bytes(&mut self, key: Key, bytes: &mut [u8]) {
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

    fn assembler_limits(&mut self, key: Key) -> assembler::Limits {
        let compression = self.connection(key).is_some_and(|connection| connection.wire.compression);
        let limits = &self.environment.limits;
        assembler::Limits {
            message_size: limits.message_size,
            inflated_size: limits.inflated_size,
            compression,
        }
    }

    fn on_event(&mut self, key: Key, event: Event<'_>) -> Flow {
        let now = self.now.instant;
        let Some(connection) = self.connection(key) else { return Flow::Stop };
        match event {
            Event::Message(_, message) => {
                if connection.phase != Phase::Open {
                    return Flow::Continue;
                }
                self.on_frame(key, message)
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
            Event::Close(code) => {
                self.on_peer_close(key, code);
                Flow::Stop
            }
        }
    }

    fn on_frame(&mut self, key: Key, message: &[u8]) -> Flow {
        if message.is_empty() {
            self.input(key, |session, cx| session.on_malformed(cx));
            return Flow::Continue;
        }
        let mut at = 0;
        while at < message.len() {
            let Some(connection) = self.connection(key) else { return Flow::Stop };
            if connection.phase != Phase::Open {
                return Flow::Continue;
            }
            if connection.session.is_busy() {
                connection.held.get_or_insert_default().frame = message[at..].to_vec();
                return Flow::Stop;
            }
            let encoding = connection.wire.encoding;
            match protocol::next_command(&message[at..], encoding) {
                Ok((command, used)) => {
                    at += used;
                    self.on_command(key, command, used as u64);
                }
                Err(_) => {
                    self.input(key, |session, cx| session.on_malformed(cx));
                    return Flow::Continue;
                }
            }
        }
        match self.connection(key) {
            Some(connection) if connection.session.is_busy() && connection.phase == Phase::Open => Flow::Stop,
            Some(_) => Flow::Continue,
            None => Flow::Stop,
        }
    }

    fn on_command(&mut self, key: Key, command: client::Command, size: u64) {
        let kind = telemetry::command(&command);
        self.metrics.received(TRANSPORT, kind, size);
        let started = Instant::now();
        if let Some(connection) = self.connection(key) {
            connection.running = Some((kind, started));
        }
        self.input(key, |session, cx| session.on_command(command, cx));
        if self.connection(key).is_some_and(|connection| !connection.session.is_busy()) {
            self.command_done(key);
        }
    }

    /// Takes how long the command took whose reply was just queued.
    pub(super) fn command_done(&mut self, key: Key) {
        if let Some((kind, started)) = self.connection(key).and_then(|connection| connection.running.take())
            && kind.is_command()
        {
            let now = Instant::now();
            self.metrics.command(kind, now.duration_since(started), now);
        }
    }

    /// Goes on with what was held back while the session was busy.
    pub(super) fn resume(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        if connection.session.is_busy() {
            return;
        }
        if let Some(held) = connection.held.take()
            && self.on_frame(key, &held.frame) == Flow::Stop
        {
            return;
        }
        self.on_bytes(key, &mut []);
        self.read_later(key);
    }

    fn on_violation(&mut self, key: Key, violation: Violation) {
        let Some(connection) = self.connection(key) else { return };
        connection.deaf = true;
        if connection.phase == Phase::Open {
            let frame = frame::close_frame(violation.close_code(), violation.reason());
            self.end_session(key, frame, Phase::Lingering);
        }
    }

    fn on_peer_close(&mut self, key: Key, code: Option<u16>) {
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
    fn end_session(&mut self, key: Key, frame: Option<Vec<u8>>, phase: Phase) {
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
    fn finish(&mut self, key: Key) {
        if let Some(connection) = self.connection(key) {
            connection.phase = Phase::Finishing;
        }
        self.mark_dirty(key);
    }

    fn peer_gone(&mut self, key: Key) {
        self.input(key, |session, cx| session.close(DisconnectCode::ConnectionClosed, cx));
        self.remove(key);
    }

    /// Drops the socket and everything that is left of the connection.
    pub(super) fn remove(&mut self, key: Key) {
        if self.connection(key).is_none() {
            return;
        }
        let mut connection = self.connections.remove(key.slot as usize);
        self.waiting_bytes -= connection.counted;
        // An error here means the socket is gone from the queue already.
        let _ = self.poll.registry().deregister(connection.socket.stream_mut());
        self.shared.traffic.connections.fetch_sub(1, Ordering::Relaxed);
    }

    // ---- What was told ----

    pub(super) fn drain_inbox(&mut self) {
        loop {
            self.take_messages();
            if self.backlog.is_empty() {
                break;
            }
            while let Some(message) = self.backlog.pop_front() {
                let key = match &message {
                    Message::Answer(answered) => Some(answered.key),
                    _ => None,
                };
                self.isolated(key, |shard| shard.on_message(message));
                self.tell_behind();
            }
        }
        self.tell_failing();
    }

    fn take_messages(&mut self) {
        let mut spare = std::mem::take(&mut self.spare);
        self.inbox.take(&mut spare);
        self.backlog.extend(spare.drain(..));
        self.spare = spare;
    }

    /// Delivers what is at the front of the inbox, so that what a connection caused reaches subscribers of
    /// this shard before the reply, as the order of the publications wants it.
    pub(super) fn deliver_leading(&mut self) {
        self.take_messages();
        let mut at = 0;
        loop {
            match self.backlog.get(at) {
                Some(Message::Deliver(_)) => {
                    if let Some(Message::Deliver(delivery)) = self.backlog.remove(at) {
                        self.deliver(&delivery);
                    }
                }
                // A new connection has no part in what was published before it.
                Some(Message::Accept(..) | Message::AcceptTls(..)) => at += 1,
                _ => return,
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Deliver(delivery) => self.deliver(&delivery),
            Message::Accept(socket, handshake) => {
                self.accept(Socket::Plain(mio::net::TcpStream::from_std(socket)), *handshake);
            }
            Message::AcceptTls(socket, tls, handshake) => {
                self.accept(Socket::tls(mio::net::TcpStream::from_std(socket), tls), *handshake);
            }
            Message::Answer(answered) => self.on_answer(*answered),
            Message::Top(channel, position) => self.on_top(&channel, &position),
            Message::Subscribe(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_subscribe(&request, cx));
            }
            Message::Unsubscribe(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_unsubscribe(&request, cx));
            }
            Message::Disconnect(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_disconnect(&request, cx));
            }
            Message::Refresh(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_refresh(&request, cx));
            }
            Message::Reload => {
                self.environment = self.shared.environment.load_full();
                let limits = &self.environment.limits;
                self.encoder = Encoder::new(limits.compression_level, limits.compression_min_size);
            }
            Message::Drain(close) => self.drain(close),
            Message::Stop => self.stopping = true,
        }
    }

    fn drain(&mut self, close: Close) {
        let keys: Vec<Key> = self.connections.iter().map(|(_, connection)| connection.key).collect();
        for key in keys {
            let close = close.clone();
            self.input(key, |session, cx| session.close_with(close, cx));
        }
        self.draining = Some(close);
    }

    fn for_target(&mut self, target: &Target, mut act: impl FnMut(&mut Session, &mut session::Context<'_>)) {
        let Some(keys) = self.users.get(target.user.as_str()).cloned() else { return };
        for key in keys {
            if self.connection(key).is_some_and(|connection| connection.session.is_target(target)) {
                self.input(key, &mut act);
            }
        }
    }

    /// Compares everyone's position with the top of the stream.
    fn on_top(&mut self, channel: &str, top: &StreamPosition) {
        let Some(index) = self.channels.find(channel) else { return };
        let channel = self.channels.get(index);
        for subscriber in &channel.subscribers {
            let behind = subscriber.epoch != top.epoch || subscriber.offset < top.offset;
            if subscriber.flags.positioned && !subscriber.holding && behind {
                self.behind.push((subscriber.key, channel.name.clone()));
            }
        }
    }

    // ---- Delivery ----

    pub(super) fn deliver(&mut self, delivery: &Arc<Delivery>) {
        let Some(index) = self.channels.find(&delivery.channel) else { return };
        let channel = self.channels.get_mut(index);
        let is_publication = matches!(delivery.kind, Kind::Publication { .. });
        if is_publication {
            channel.last_delivery = Some(self.now.instant);
        }
        if channel.holding > 0 {
            channel.held.push(delivery.clone());
        }
        let late = self.environment.limits.position_max_lag;
        let too_late = match &delivery.kind {
            Kind::Publication { publication, .. } if !late.is_zero() => {
                self.now.unix.0 as i64 - publication.time > late.as_millis() as i64
            }
            _ => false,
        };
        let started = Instant::now();
        let mut forms = Forms::default();
        let mut out = Out {
            connections: &mut self.connections,
            dirty: &mut self.dirty,
            failing: &mut self.failing,
            sent: Sent::default(),
            limit: self.environment.limits.queue_max_size,
            over_budget: self.waiting_bytes > self.environment.limits.outbound_budget,
        };
        for subscriber in &mut channel.subscribers {
            if subscriber.holding {
                continue;
            }
            if too_late && subscriber.flags.positioned {
                self.behind.push((subscriber.key, channel.name.clone()));
                continue;
            }
            match deliver_to(subscriber, delivery, &mut forms, &mut self.encoder, &mut out) {
                Reached::Yes => {}
                Reached::Behind => self.behind.push((subscriber.key, channel.name.clone())),
            }
        }
        let Sent { messages, bytes, filtered } = out.sent;
        let (frame, message) = telemetry::delivery(&delivery.kind);
        self.metrics.sent(TRANSPORT, frame, messages, bytes);
        self.metrics.broadcast(message, started.elapsed());
        if filtered > 0 {
            self.metrics.filtered(filtered);
        }
    }

    /// Gives one subscriber what was held back for it.
    pub(super) fn deliver_held(&mut self, key: Key, channel: &str, held: &[Arc<Delivery>]) {
        for delivery in held {
            let Some(index) = self.channels.find(channel) else { return };
            let Some(place) = self.connection(key).and_then(|connection| connection.place(index)) else {
                return;
            };
            let channel = self.channels.get_mut(index);
            let subscriber = &mut channel.subscribers[place.at as usize];
            let mut out = Out {
                connections: &mut self.connections,
                dirty: &mut self.dirty,
                failing: &mut self.failing,
                sent: Sent::default(),
                limit: self.environment.limits.queue_max_size,
                over_budget: false,
            };
            let reached =
                deliver_to(subscriber, delivery, &mut Forms::default(), &mut self.encoder, &mut out);
            let (frame, _) = telemetry::delivery(&delivery.kind);
            self.metrics.sent(TRANSPORT, frame, out.sent.messages, out.sent.bytes);
            if reached == Reached::Behind {
                self.behind.push((key, channel.name.clone()));
                return;
            }
        }
    }

    fn tell_behind(&mut self) {
        for (key, channel) in std::mem::take(&mut self.behind) {
            self.input(key, |session, cx| session.on_insufficient_state(&channel, cx));
        }
    }

    fn tell_failing(&mut self) {
        for (key, code) in std::mem::take(&mut self.failing) {
            self.input(key, |session, cx| session.close(code, cx));
        }
    }

    // ---- Writing ----

    pub(super) fn send(&mut self, key: Key, frame: Frame) {
        let mut out = Out {
            connections: &mut self.connections,
            dirty: &mut self.dirty,
            failing: &mut self.failing,
            sent: Sent::default(),
            limit: self.environment.limits.queue_max_size,
            over_budget: false,
        };
        out.push(key, frame, 0);
    }

    /// Queues one message of the protocol.
    pub(super) fn send_encoded(&mut self, key: Key, encoded: Encoded, kind: observability::Frame) {
        self.metrics.sent(TRANSPORT, kind, 1, encoded.size);
        self.send(key, encoded.frame);
    }

    pub(super) fn mark_dirty(&mut self, key: Key) {
        if let Some(connection) = self.connection(key)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut write_buffer = std::mem::take(&mut self.write_buffer);
        for key in dirty.drain(..) {
            self.flush(key, &mut write_buffer);
        }
        self.write_buffer = write_buffer;
        // Flushing may have closed connections, whose last words go out in the next turn.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
        self.tell_failing();
    }

    fn flush(&mut self, key: Key, write_buffer: &mut Vec<u8>) {
        let timeout = self.environment.limits.write_timeout;
        let now = self.now.instant;
        let Some(connection) = self.connection(key) else { return };
        connection.dirty = false;
        let flushed = connection.outbox.flush(&mut connection.socket, write_buffer);
        let after = connection.outbox.bytes();
        let flushed = match flushed {
            Ok(Flushed::All) => match connection.socket.flush_records() {
                Ok(true) => Ok(Flushed::All),
                Ok(false) => Ok(Flushed::Blocked { progress: false }),
                Err(error) => Err(error),
            },
            other => other,
        };
        match flushed {
            Ok(Flushed::All) => {
                connection.blocked = false;
                if connection.phase == Phase::Open {
                    connection.deadline = None;
                }
                let done = connection.phase == Phase::Finishing;
                // The peer learns at once that nothing follows, and what it still sends is read, so that the
                // system does not reset the connection before the close frame has arrived.
                let ended = connection.deaf && connection.socket.end_writing().is_err();
                let waited = std::mem::take(&mut connection.counted);
                self.waiting_bytes -= waited;
                if done || ended {
                    self.remove(key);
                }
            }
            Ok(Flushed::Blocked { progress }) => {
                connection.blocked = true;
                if connection.phase == Phase::Open
                    && !timeout.is_zero()
                    && (progress || connection.deadline.is_none())
                {
                    connection.deadline = Some(now + timeout);
                }
                let waited = std::mem::replace(&mut connection.counted, after);
                self.waiting_bytes = self.waiting_bytes + after - waited;
                self.reschedule(key);
            }
            Err(_) => self.peer_gone(key),
        }
    }

    // ---- Time ----

    /// Makes sure the timer heap wakes the connection in time.
    pub(super) fn reschedule(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        if let Some(next) = connection.next_deadline()
            && connection.scheduled.is_none_or(|scheduled| next < scheduled)
        {
            connection.scheduled = Some(next);
            self.timers.push(next, key);
        }
    }

    fn fire_timers(&mut self) {
        let now = self.now.instant;
        while let Some(key) = self.timers.pop(now) {
            let Some(connection) = self.connection(key) else { continue };
            // An entry for an earlier plan may come up after a newer one was made.
            if connection.scheduled.is_some_and(|scheduled| scheduled <= now) {
                connection.scheduled = None;
            }
            self.isolated(Some(key), |shard| shard.on_deadline(key, now));
            self.reschedule(key);
        }
    }

    fn on_deadline(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connection(key) else { return };
        if connection.deadline.is_some_and(|deadline| deadline <= now) {
            connection.deadline = None;
            match connection.phase {
                Phase::Open => {
                    return self.input(key, |session, cx| session.close(DisconnectCode::WriteError, cx));
                }
                Phase::Lingering | Phase::Finishing => {
                    self.input(key, |session, cx| session.close(DisconnectCode::ConnectionClosed, cx));
                    return self.remove(key);
                }
            }
        }
        if let Some(ping) = &mut connection.native_ping {
            if ping.deadline <= now {
                return self.peer_gone(key);
            }
            if ping.next <= now {
                ping.next = now + ping.interval;
                let mut frame = Vec::with_capacity(2);
                frame::write_header(&mut frame, Opcode::Ping, false, 0);
                self.send(key, Rc::from(frame));
            }
        }
        let Some(connection) = self.connection(key) else { return };
        if connection.session.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.input(key, |session, cx| session.on_timer(cx));
        }
    }

    // ---- Sessions ----

    /// Does something for one connection, or for none in particular. A panic in it, wherever its code is, ends
    /// that connection only.
    fn isolated(&mut self, key: Option<Key>, act: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            self.panicked(key);
        }
    }

    fn panicked(&mut self, key: Option<Key>) {
        self.shared.traffic.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("a connection's handler panicked; the connection is dropped");
        self.effects.clear();
        // It is taken out while a socket is read, and lost if that panics.
        if self.read_buffer.is_empty() {
            self.read_buffer = vec![0; READ_BUFFER].into_boxed_slice();
        }
        if let Some(key) = key {
            self.evict(key);
        }
    }

    /// Gives a session an input and carries out what it wants. A panic ends this connection only.
    pub(super) fn input(&mut self, key: Key, act: impl FnOnce(&mut Session, &mut session::Context<'_>)) {
        let environment = self.environment.clone();
        let shared = self.shared.clone();
        let mut effects = std::mem::take(&mut self.effects);
        let now = self.now;
        let Some(connection) = self.connection(key) else {
            self.effects = effects;
            return;
        };
        let connections_of = |user: &str| shared.users.connections_of(user);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            act(
                &mut connection.session,
                &mut session::Context {
                    now,
                    settings: &environment.settings,
                    policy: &*environment.policy,
                    chance: rand::random(),
                    connections_of: &connections_of,
                    effects: &mut effects,
                },
            );
        }));
        self.effects = effects;
        if outcome.is_err() {
            return self.panicked(Some(key));
        }
        self.carry_out(key);
        self.reschedule(key);
    }
}

/// What one delivery came to.
#[derive(Clone, Copy, Default)]
struct Sent {
    messages: u64,
    bytes: u64,
    filtered: u64,
}

/// Where frames go, apart from the rest of the shard so that subscribers can be walked at the same time.
struct Out<'a> {
    connections: &'a mut Slab<Connection>,
    dirty: &'a mut Vec<Key>,
    failing: &'a mut Vec<(Key, DisconnectCode)>,
    sent: Sent,
    limit: usize,
    over_budget: bool,
}

impl Out<'_> {
    fn push(&mut self, key: Key, frame: Frame, size: u64) {
        let Some(connection) = self.connections.get_mut(key.slot as usize) else { return };
        if connection.key != key || connection.too_slow {
            return;
        }
        self.sent.messages += 1;
        self.sent.bytes += size;
        let waiting = connection.outbox.push(frame);
        let too_much = (self.limit > 0 && waiting > self.limit) || (self.over_budget && connection.blocked);
        if too_much && connection.phase == Phase::Open {
            connection.too_slow = true;
            self.failing.push((key, DisconnectCode::Slow));
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }
}

/// What became of a delivery to one subscriber.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It has the publication, or does not want it.
    Yes,
    /// A publication before this one is missing.
    Behind,
}

fn deliver_to(
    subscriber: &mut Subscriber,
    delivery: &Delivery,
    forms: &mut Forms,
    encoder: &mut Encoder,
    out: &mut Out<'_>,
) -> Reached {
    let mut form = Form::Plain;
    match &delivery.kind {
        Kind::Publication { publication, position, previous } => {
            if subscriber.flags.positioned && position.offset > 0 {
                if subscriber.epoch.is_none() {
                    subscriber.epoch = position.epoch.clone();
                }
                if subscriber.epoch != position.epoch || position.offset > subscriber.offset + 1 {
                    return Reached::Behind;
                }
                if position.offset <= subscriber.offset {
                    return Reached::Yes;
                }
                subscriber.offset = position.offset;
            }
            if let Some(filter) = &subscriber.filter
                && !filter.matches(publication.tags.as_deref())
            {
                out.sent.filtered += 1;
                return Reached::Yes;
            }
            if subscriber.flags.delta {
                // A patch needs the publication before it, which only positions can prove.
                let provable = subscriber.flags.positioned && position.offset > 0;
                let patch =
                    provable && subscriber.delta_ready && previous.is_some() && forms.has_patch(delivery);
                form = if patch { Form::Patch } else { Form::Full };
                subscriber.delta_ready = provable;
            }
        }
        Kind::Join(_) | Kind::Leave(_) => {
            if !subscriber.flags.join_leave {
                return Reached::Yes;
            }
        }
    }
    match forms.get(delivery, Variant { wire: subscriber.wire, form }, encoder) {
        Some(encoded) => out.push(subscriber.key, encoded.frame.clone(), encoded.size),
        None => {
            debug_assert_eq!(subscriber.wire.encoding, Encoding::Json);
            out.failing.push((subscriber.key, DisconnectCode::InappropriateProtocol));
        }
    }
    Reached::Yes
}
