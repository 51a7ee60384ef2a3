//! The loop of one shard: what happened, what was told, what is due, what is to be written.

use super::connection::{Connection, Key};
use super::delivery::{Delivery, Encoder};
use super::inbox::{Inbox, Message, WAKE};
use super::pressure::Load;
use super::subscribers::Channels;
use super::timers::Timers;
use super::{Environment, Shared};
use crate::observability::{Frame, ShardMetrics};
use crate::seams::Now;
use crate::session::{self, Close, Effect, Session};
use crate::transport::websocket::deflate::Inflater;
use gyre_proto::codes::DisconnectCode;
use hashbrown::HashMap;
use mio::{Events, Poll};
use slab::Slab;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Bytes read from one socket at a time, into the one buffer all connections share.
const READ_BUFFER: usize = 64 * 1024;

/// Reads from one connection before others get their turn.
pub(super) const READS_PER_TURN: usize = 4;

/// Bytes that may wait for a peer while its pings are still answered.
pub(super) const PONG_BACKLOG: usize = 64 * 1024;

/// Time a peer has to close its side.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// One shard.
pub(super) struct Shard {
    pub(super) index: usize,
    pub(super) poll: Poll,
    pub(super) inbox: Arc<Inbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) environment: Arc<Environment>,
    pub(super) connections: Slab<Connection>,
    pub(super) generation: u32,
    pub(super) channels: Channels,
    pub(super) users: HashMap<Arc<str>, SmallVec<[Key; 1]>>,
    pub(super) timers: Timers,
    pub(super) dirty: Vec<Key>,
    pub(super) starved: Vec<Key>,
    /// Subscriptions found to have a gap while delivering; told when delivering is done.
    pub(super) behind: Vec<(Key, Arc<str>)>,
    /// Connections whose queue grew too long, or whose payload cannot be written for them.
    pub(super) failing: Vec<(Key, DisconnectCode)>,
    pub(super) backlog: VecDeque<Message>,
    pub(super) spare: Vec<Message>,
    /// Deliveries in the backlog.
    pub(super) unhandled: Load,
    /// Deliveries that go out together, empty in between.
    pub(super) run: Vec<Arc<Delivery>>,
    /// Frames that deliveries have queued since the start.
    pub(super) queued_frames: u64,
    pub(super) read_buffer: Box<[u8]>,
    pub(super) write_buffer: Vec<u8>,
    pub(super) encoder: Encoder,
    pub(super) inflater: Inflater,
    pub(super) effects: VecDeque<Effect>,
    pub(super) now: Now,
    /// The command that is being handled, and since when; moves to what is [`Asked`](super::application::Asked)
    /// when it has to wait.
    pub(super) running: Option<(Frame, Instant)>,
    /// Bytes that wait for peers that do not read.
    pub(super) waiting_bytes: usize,
    pub(super) draining: Option<Close>,
    pub(super) stopping: bool,
    pub(super) metrics: Arc<ShardMetrics>,
}

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
        let encoder = Encoder::new(limits);
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
            unhandled: Load::default(),
            run: Vec::new(),
            queued_frames: 0,
            read_buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            write_buffer: Vec::new(),
            encoder,
            inflater: Inflater::new(),
            effects: VecDeque::new(),
            now,
            running: None,
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

    /// Does something for one connection, or for none in particular. A panic in it, wherever its code is, ends
    /// that connection only.
    pub(super) fn isolated(&mut self, key: Option<Key>, act: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            self.panicked(key);
        }
    }

    pub(super) fn panicked(&mut self, key: Option<Key>) {
        self.shared.traffic.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("a connection's handler panicked; the connection is dropped");
        self.effects.clear();
        self.running = None;
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
