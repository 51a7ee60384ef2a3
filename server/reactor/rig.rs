//! A reactor with one shard and embedded engines, for tests.

use super::inbox::Inbox;
use super::shard::Shard;
use super::{
    Backend, Compression, Environment, Handshake, Limits, Reactor, Shared, TokenAuthority, TransportLimits,
    Wire,
};
use crate::broker::{MaybeReady, MemoryBroker};
use crate::observability::{Metrics, MetricsSettings, Transport};
use crate::presence::MemoryPresence;
use crate::proxy::Proxies;
use crate::seams::{SystemClock, UnixMillis};
use crate::session::{
    AuthError, ConnectClaims, Grant, Overrides, Policy, PublishDecision, Settings, SubscribeAsk,
    SubscribeClaims, SubscribeDecision,
};
use gyre_proto::codes::ClientErrorCode;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Takes the token of a connection for its user.
pub(super) struct Trusting;

impl TokenAuthority for Trusting {
    fn verify_connect(
        &self,
        token: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<ConnectClaims>, AuthError>> {
        MaybeReady::ready(Ok(Box::new(ConnectClaims { user: token, ..Default::default() })))
    }

    fn verify_subscribe(
        &self,
        _: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<SubscribeClaims>, AuthError>> {
        MaybeReady::ready(Err(AuthError::Invalid))
    }
}

/// Allows everything.
pub(super) struct Generous;

impl Policy for Generous {
    fn subscribe(&self, _: &SubscribeAsk<'_>) -> Result<SubscribeDecision, ClientErrorCode> {
        Ok(SubscribeDecision::Granted(Box::default()))
    }
    fn token_grant(&self, _: &SubscribeAsk<'_>, _: &SubscribeClaims) -> Result<Grant, ClientErrorCode> {
        Ok(Grant::default())
    }
    fn server_grant(&self, _: &str, _: &Overrides) -> Result<Grant, ClientErrorCode> {
        Ok(Grant::default())
    }
    fn connect_grant(&self, _: &str, _: &str) -> Result<Option<Grant>, ClientErrorCode> {
        Ok(Some(Grant::default()))
    }
    fn personal_channel(&self, _: &str, user: &str) -> String {
        format!("#{user}")
    }
    fn publish(&self, _: &str, _: &str, _: bool, _: &[u8]) -> Result<PublishDecision, ClientErrorCode> {
        Ok(PublishDecision::Granted(Box::default()))
    }
    fn sub_refresh_proxy(&self, _: &str) -> Option<Arc<str>> {
        None
    }
    fn rpc(&self, _: &str) -> Result<Arc<str>, ClientErrorCode> {
        Ok(Arc::from("default"))
    }
    fn presence(&self, _: &str, _: &str, _: bool) -> Result<(), ClientErrorCode> {
        Ok(())
    }
    fn history(&self, _: &str, _: &str, _: bool) -> Result<Duration, ClientErrorCode> {
        Ok(Duration::ZERO)
    }
}

/// What questions wait on.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Long times and small sizes.
pub(super) fn environment(policy: Box<dyn Policy>) -> Environment {
    let long = Duration::from_secs(60);
    Environment {
        settings: Settings {
            version: "test".into(),
            node: "node".into(),
            ping_interval: long,
            pong_timeout: long,
            stale_close_delay: long,
            expired_close_delay: long,
            expired_sub_close_delay: long,
            presence_update_interval: long,
            position_check_delay: long,
            channel_limit: 8,
            channel_max_length: 255,
            user_connection_limit: 0,
            include_server_time: false,
            history_limit: 10,
            recovery_limit: 10,
            insecure: false,
            allow_anonymous_without_token: false,
            disallow_anonymous_tokens: false,
            personal_channel: None,
            rpc_ping: None,
            concurrency: 0,
            connect_proxy: false,
            refresh_proxy: false,
            emulated_headers: Vec::new(),
            unidirectional_closes: BTreeMap::new(),
        },
        policy,
        application: Arc::new(Proxies::default()),
        limits: Limits {
            queue_max_size: 1 << 20,
            outbound_budget: 1 << 20,
            transports: [TransportLimits {
                write_timeout: long,
                message_size: 1 << 16,
                inflated_size: 1 << 16,
            }; Transport::COUNT],
            compression: Compression { min_size: 0, level: 1 },
            uni_compression: Compression { min_size: 0, level: 1 },
            position_max_lag: Duration::ZERO,
        },
    }
}

fn metrics() -> Arc<Metrics> {
    let settings = MetricsSettings {
        version: "test".to_owned(),
        native_histograms: false,
        recovered_publications: false,
    };
    Arc::new(Metrics::new(settings, std::time::Instant::now()))
}

fn backend(metrics: Arc<Metrics>, tokens: Arc<dyn TokenAuthority>) -> (Backend, Arc<MemoryBroker>) {
    let broker = Arc::new(MemoryBroker::detached(Arc::new(SystemClock)));
    let backend = Backend {
        metrics,
        broker: broker.clone(),
        presence: Arc::new(MemoryPresence::new()),
        tokens,
        connections: Arc::new(OnceLock::new()),
    };
    (backend, broker)
}

/// The reactor and the broker its publications come from.
pub(super) fn reactor(
    runtime: &tokio::runtime::Runtime,
    environment: Environment,
    tokens: Arc<dyn TokenAuthority>,
) -> (Arc<Reactor>, Arc<MemoryBroker>) {
    let metrics = metrics();
    let (backend, broker) = backend(metrics.clone(), tokens);
    let clock = Arc::new(SystemClock);
    let reactor = Reactor::new(1, environment, backend, clock, metrics, runtime.handle().clone()).unwrap();
    broker.attach(reactor.clone());
    (reactor, broker)
}

/// A shard that nobody runs, and what it counts.
pub(super) fn shard(runtime: &tokio::runtime::Runtime, environment: Environment) -> (Shard, Arc<Metrics>) {
    let metrics = metrics();
    let (backend, _) = backend(metrics.clone(), Arc::new(Trusting));
    let shared = Arc::new(Shared::new(1, environment, backend, Arc::new(SystemClock), metrics.clone()));
    let poll = mio::Poll::new().unwrap();
    let inbox = Arc::new(Inbox::new(poll.registry(), shared.pressure.clone()).unwrap());
    (Shard::new(0, poll, inbox, shared, runtime.handle().clone()), metrics)
}

/// A WebSocket connection whose handshake is done.
pub(super) fn dial(reactor: &Reactor, listener: &TcpListener) -> TcpStream {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    reactor.accept(server, Handshake::new(Transport::WebSocket, Wire::default()));
    client
}

/// Sends one text frame.
pub(super) fn send(stream: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).unwrap();
}

/// The next message; nothing at the end of the connection.
pub(super) fn answer(stream: &mut TcpStream) -> Option<String> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).ok()?;
        length = usize::from(u16::from_be_bytes(long));
    } else if length == 127 {
        let mut long = [0; 8];
        stream.read_exact(&mut long).ok()?;
        length = usize::try_from(u64::from_be_bytes(long)).ok()?;
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).ok()?;
    Some(String::from_utf8_lossy(&payload).into_owned())
}
