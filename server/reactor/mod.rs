//! One thread for each core, and on it everything a delivery touches: links, sessions, subscriber arrays.
//!
//! A publication is encoded once for each form its subscribers want, appended by reference to each
//! connection, and all connections that have something to say are flushed once per loop turn. Nothing on
//! that way locks, counts references across threads or wakes a task. Work that waits (tokens with JWKS,
//! remote brokers) runs on the shared runtime and comes back through the inbox.
//!
//! Knows no namespace and no configuration file; what a command means is the session's business.

mod application;
#[cfg(test)]
mod application_tests;
mod backend;
mod body;
#[cfg(test)]
mod body_tests;
mod connection;
mod delivery;
mod effects;
mod fanout;
#[cfg(test)]
mod fanout_tests;
mod inbox;
#[cfg(test)]
mod isolation_tests;
mod link;
mod outbox;
mod pressure;
#[cfg(test)]
mod pressure_tests;
mod reading;
mod registry;
#[cfg(test)]
mod rig;
mod run;
mod sessions;
mod shard;
#[cfg(test)]
mod shed_tests;
mod socket;
mod subscribers;
mod telemetry;
mod timers;
mod told;
mod tunnel;
mod users;
mod writing;

pub use backend::{Backend, TokenAuthority};
pub use body::{BrokenOff, Ended, Input, ResponseBody, Trailers};
pub use connection::{Handshake, Wire};
pub use inbox::Answered;
pub use tunnel::tunnel;

use crate::broker::{BrokerError, ClientInfo, MaybeReady, Publication, Receiver, StreamPosition};
use crate::node::{
    Connections, Counts, DisconnectUser, EmulationError, RefreshUser, SubscribeUser, UnsubscribeUser,
};
use crate::observability::{BrokerMessage, Metrics, Transport};
use crate::proxy::Events;
use crate::seams::Clock;
use crate::session::{Close, Policy, Settings};
use bytes::Bytes;
use delivery::{Delivery, Kind};
use inbox::{Inbox, Message};
use pressure::Pressure;
use registry::Registry;
use sessions::Sessions;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use users::Users;

/// What shards read anew after a reload.
pub struct Environment {
    /// Limits and switches of sessions.
    pub settings: Settings,
    /// Namespaces and permissions.
    pub policy: Box<dyn Policy>,
    /// The application that is asked where the policy says so.
    pub application: Arc<dyn Events>,
    /// Limits of connections.
    pub limits: Limits,
}

/// Limits of connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes that may wait for one peer before it is closed as slow; zero means no limit.
    pub queue_max_size: usize,
    /// Bytes that may wait for all peers of one shard before slow ones are closed.
    pub outbound_budget: usize,
    /// What is allowed on each transport, in the order of [`Transport::ALL`].
    pub transports: [TransportLimits; Transport::COUNT],
    /// Compression of messages to bidirectional connections.
    pub compression: Compression,
    /// Compression of messages to unidirectional connections.
    pub uni_compression: Compression,
    /// Publications older than this on arrival break positioned subscriptions; zero means never.
    pub position_max_lag: Duration,
}

impl Limits {
    /// What is allowed on one transport.
    pub fn of(&self, transport: Transport) -> &TransportLimits {
        &self.transports[transport as usize]
    }
}

/// How messages are compressed for peers that agreed to it.
#[derive(Clone, Copy, Debug)]
pub struct Compression {
    /// Bytes a message must exceed.
    pub min_size: usize,
    /// Effort, 1 to 9.
    pub level: u32,
}

/// Limits of connections that differ between transports.
#[derive(Clone, Copy, Debug)]
pub struct TransportLimits {
    /// Time one write may be stuck before the connection is closed; zero means no limit.
    pub write_timeout: Duration,
    /// Bytes of one WebSocket message from a peer.
    pub message_size: usize,
    /// Bytes of one WebSocket message from a peer after decompression.
    pub inflated_size: usize,
}

/// What all shards share.
pub(crate) struct Shared {
    registry: Arc<Registry>,
    users: Users,
    sessions: Sessions,
    backend: Backend,
    clock: Arc<dyn Clock>,
    environment: arc_swap::ArcSwap<Environment>,
    traffic: Traffic,
    pressure: Arc<Pressure>,
    metrics: Arc<Metrics>,
    /// Places for comparing positions after gaps.
    gap_checks: tokio::sync::Semaphore,
}

/// Positions compared at the same time after gaps.
const GAP_CHECKS: usize = 128;

impl Shared {
    fn new(
        shards: usize,
        environment: Environment,
        backend: Backend,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            registry: Arc::new(Registry::new(shards)),
            gap_checks: tokio::sync::Semaphore::new(GAP_CHECKS),
            users: Users::default(),
            sessions: Sessions::default(),
            backend,
            clock,
            environment: arc_swap::ArcSwap::from_pointee(environment),
            traffic: Traffic::default(),
            pressure: Arc::default(),
            metrics,
        }
    }
}

/// Totals over all shards that others decide by.
#[derive(Default)]
pub struct Traffic {
    /// Connections that are open, authenticated or not.
    pub connections: std::sync::atomic::AtomicU64,
    /// Connections whose handler panicked.
    pub panics: std::sync::atomic::AtomicU64,
}

/// The shards of this node.
pub struct Reactor {
    shared: Arc<Shared>,
    inboxes: Vec<Arc<Inbox>>,
    next: AtomicUsize,
    threads: parking_lot::Mutex<Vec<JoinHandle<()>>>,
}

impl Reactor {
    /// Starts the threads of `shards` shards.
    ///
    /// # Errors
    /// When the operating system refuses an event queue.
    pub fn new(
        shards: usize,
        environment: Environment,
        backend: Backend,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        runtime: tokio::runtime::Handle,
    ) -> std::io::Result<Arc<Self>> {
        let shards = shards.clamp(1, registry::MAX_SHARDS);
        let shared = Arc::new(Shared::new(shards, environment, backend, clock, metrics));
        let mut inboxes = Vec::with_capacity(shards);
        let mut threads = Vec::with_capacity(shards);
        let mut prepared = Vec::with_capacity(shards);
        for index in 0..shards {
            let poll = mio::Poll::new()?;
            let inbox = Arc::new(Inbox::new(poll.registry(), shared.pressure.clone())?);
            inboxes.push(inbox.clone());
            prepared.push((index, poll, inbox));
        }
        for (index, poll, inbox) in prepared {
            let (shared, runtime) = (shared.clone(), runtime.clone());
            let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
                let shard = shard::Shard::new(index, poll, inbox, shared, runtime);
                if catch_unwind(AssertUnwindSafe(|| shard.run())).is_err() {
                    // Without it the process would go on taking connections that nobody serves.
                    tracing::error!(
                        shard = index,
                        "a shard panicked outside of any connection; the process ends"
                    );
                    std::process::exit(1);
                }
            })?;
            threads.push(thread);
        }
        Ok(Arc::new(Self {
            shared,
            inboxes,
            next: AtomicUsize::new(0),
            threads: parking_lot::Mutex::new(threads),
        }))
    }

    /// Hands over a connection whose handshake is done. Shards take turns.
    pub fn accept(&self, socket: TcpStream, handshake: Handshake) {
        self.next_inbox().push(Message::Accept(socket, Box::new(handshake)));
    }

    /// As [`Reactor::accept`], for a connection under TLS.
    pub fn accept_tls(&self, socket: TcpStream, tls: Box<rustls::ServerConnection>, handshake: Handshake) {
        self.next_inbox().push(Message::AcceptTls(socket, tls, Box::new(handshake)));
    }

    /// Opens a connection that has no socket of its own. What it says comes out of the body, what its peer says
    /// goes into the input; dropping the body ends it.
    pub fn accept_body(&self, handshake: Handshake) -> (ResponseBody, Input) {
        let inbox = self.next_inbox();
        let (pipe, body, input) = body::pipe(inbox.clone());
        inbox.push(Message::AcceptBody(pipe, Box::new(handshake)));
        (body, input)
    }

    fn next_inbox(&self) -> &Arc<Inbox> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        &self.inboxes[at]
    }

    /// Puts a new environment in force for everything that happens from now on.
    pub fn reload(&self, environment: Environment) {
        self.shared.environment.store(Arc::new(environment));
        for inbox in &self.inboxes {
            inbox.push(Message::Reload);
        }
    }

    /// Ends all connections and later ones with `close`.
    pub fn drain(&self, close: Close) {
        for inbox in &self.inboxes {
            inbox.push(Message::Drain(close.clone()));
        }
    }

    /// Ends later connections with `close`, and at once `count` of those that stand, of each shard about as many.
    pub fn shed(&self, close: &Close, count: usize) {
        let shards = self.inboxes.len();
        let (each, rest) = (count / shards, count % shards);
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for at in 0..shards {
            let share = each + usize::from(at < rest);
            self.inboxes[(first + at) % shards].push(Message::Shed(close.clone(), share));
        }
    }

    /// Connections that are authenticated.
    pub fn authenticated_connections(&self) -> u64 {
        u64::from(self.shared.users.totals().0)
    }

    /// Connections that are open, authenticated or not.
    pub fn open_connections(&self) -> u64 {
        self.shared.traffic.connections.load(Ordering::Relaxed)
    }

    /// Totals that others decide by.
    pub fn traffic(&self) -> &Traffic {
        &self.shared.traffic
    }

    /// Ends the threads; connections that are still open are dropped.
    pub fn stop(&self) {
        for inbox in &self.inboxes {
            inbox.push(Message::Stop);
        }
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a shard thread panicked");
            }
        }
    }

    fn deliver(&self, delivery: Delivery) {
        let shards = self.shared.registry.shards(&delivery.channel);
        if shards == 0 {
            return;
        }
        let delivery = Arc::new(delivery);
        for (index, inbox) in self.inboxes.iter().enumerate() {
            if shards & (1 << index) != 0 {
                inbox.push(Message::Deliver(delivery.clone()));
            }
        }
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
        for inbox in &self.inboxes {
            inbox.push(message());
        }
    }
}

impl Receiver for Reactor {
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        position: StreamPosition,
        delta: bool,
        previous: Option<Arc<Publication>>,
    ) {
        self.shared.metrics.received(BrokerMessage::Publication, 1);
        let kind = Kind::Publication { publication, position, previous: previous.filter(|_| delta) };
        self.deliver(Delivery { channel: channel.clone(), kind });
    }

    fn join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) {
        self.shared.metrics.received(BrokerMessage::Join, 1);
        self.deliver(Delivery { channel: channel.clone(), kind: Kind::Join(info) });
    }

    fn leave(&self, channel: &Arc<str>, info: Arc<ClientInfo>) {
        self.shared.metrics.received(BrokerMessage::Leave, 1);
        self.deliver(Delivery { channel: channel.clone(), kind: Kind::Leave(info) });
    }

    fn room(&self) -> MaybeReady<()> {
        self.shared.pressure.relief()
    }

    fn gap(&self, channel: &Arc<str>) {
        let shards = self.shared.registry.shards(channel);
        for (index, inbox) in self.inboxes.iter().enumerate() {
            if shards & (1 << index) != 0 {
                inbox.push(Message::Gap(channel.clone()));
            }
        }
    }
}

impl Connections for Reactor {
    fn room_to_publish(&self) -> MaybeReady<Result<(), BrokerError>> {
        self.shared.pressure.patient_relief()
    }

    fn subscribe(&self, request: Arc<SubscribeUser>) {
        self.tell_all(|| Message::Subscribe(request.clone()));
    }

    fn unsubscribe(&self, request: Arc<UnsubscribeUser>) {
        self.tell_all(|| Message::Unsubscribe(request.clone()));
    }

    fn disconnect(&self, request: Arc<DisconnectUser>) {
        self.tell_all(|| Message::Disconnect(request.clone()));
    }

    fn refresh(&self, request: Arc<RefreshUser>) {
        self.tell_all(|| Message::Refresh(request.clone()));
    }

    fn emulate(&self, session: &str, commands: Bytes) -> MaybeReady<Result<(), EmulationError>> {
        match self.shared.sessions.find(session) {
            Some(way) => MaybeReady::later(way.take(commands)),
            None => MaybeReady::ready(Err(EmulationError::NoSession)),
        }
    }

    fn channels(&self) -> Vec<(Arc<str>, u32)> {
        self.shared.registry.channels()
    }

    fn counts(&self) -> Counts {
        let (channels, subscriptions) = self.shared.registry.totals();
        let (clients, users) = self.shared.users.totals();
        Counts { clients, users, channels, subscriptions }
    }
}
