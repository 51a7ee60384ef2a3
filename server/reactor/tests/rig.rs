//! A reactor with real sockets, whose policy and tokens a test chooses.

use crate::broker::{ClientInfo, MemoryBroker, Publication, Receiver, StreamPosition};
use crate::observability::{Metrics, MetricsSettings};
use crate::presence::MemoryPresence;
use crate::reactor::{Backend, Environment, Handshake, Limits, Reactor, TokenAuthority, Wire};
use crate::seams::SystemClock;
use crate::session::{Origin, Policy, Settings, Transport};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
            unidirectional_closes: BTreeMap::new(),
        },
        policy,
        limits: Limits {
            queue_max_size: 1 << 20,
            outbound_budget: 1 << 20,
            write_timeout: long,
            message_size: 1 << 16,
            inflated_size: 1 << 16,
            compression_min_size: 0,
            compression_level: 1,
            position_max_lag: Duration::ZERO,
        },
    }
}

/// A reactor with one shard, which all connections share.
pub(super) fn reactor(
    runtime: &tokio::runtime::Runtime,
    policy: Box<dyn Policy>,
    tokens: Arc<dyn TokenAuthority>,
) -> Arc<Reactor> {
    struct Nowhere;
    impl Receiver for Nowhere {
        fn publication(
            &self,
            _: &Arc<str>,
            _: Arc<Publication>,
            _: StreamPosition,
            _: bool,
            _: Option<Arc<Publication>>,
        ) {
        }
        fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
        fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    }
    let clock = Arc::new(SystemClock);
    let settings = MetricsSettings {
        version: "test".to_owned(),
        native_histograms: false,
        recovered_publications: false,
    };
    let metrics = Arc::new(Metrics::new(settings, std::time::Instant::now()));
    let backend = Backend {
        metrics: metrics.clone(),
        broker: Arc::new(MemoryBroker::new(Arc::new(Nowhere), clock.clone())),
        presence: Arc::new(MemoryPresence::new()),
        tokens,
        connections: Arc::new(OnceLock::new()),
    };
    Reactor::new(1, environment(policy), backend, clock, metrics, runtime.handle().clone()).unwrap()
}

pub(super) fn dial(reactor: &Reactor, listener: &TcpListener) -> TcpStream {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    let (wire, transport, origin) = (Wire::default(), Transport::default(), Origin::default());
    reactor.accept(server, Handshake { wire, transport, origin, early: Vec::new() });
    client
}

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
