//! A panic that one connection causes ends that connection and no other.

use super::{Backend, Environment, Handshake, Limits, Reactor, TokenAuthority, Wire};
use crate::broker::{MaybeReady, MemoryBroker, PublishOptions, Receiver};
use crate::observability::{Metrics, MetricsSettings};
use crate::presence::MemoryPresence;
use crate::seams::{SystemClock, UnixMillis};
use crate::session::{
    AuthError, ConnectClaims, Grant, Origin, Overrides, Policy, Settings, SubscribeAsk, SubscribeClaims,
    SubscribeDecision, Transport,
};
use gyre_proto::codes::ClientErrorCode;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Knows every token but one, which makes it panic.
struct Brittle;

impl TokenAuthority for Brittle {
    fn verify_connect(
        &self,
        token: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<ConnectClaims>, AuthError>> {
        assert_ne!(token, "at once", "provoked");
        if token == "later" {
            return MaybeReady::later(async { panic!("provoked") });
        }
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

/// Panics whatever it is asked.
struct Panicking;

impl Policy for Panicking {
    fn subscribe(&self, _: &SubscribeAsk<'_>) -> Result<SubscribeDecision, ClientErrorCode> {
        panic!("provoked")
    }
    fn token_grant(&self, _: &SubscribeAsk<'_>, _: &SubscribeClaims) -> Result<Grant, ClientErrorCode> {
        panic!("provoked")
    }
    fn server_grant(&self, _: &str, _: &Overrides) -> Result<Grant, ClientErrorCode> {
        panic!("provoked")
    }
    fn connect_grant(&self, _: &str, _: &str) -> Result<Option<Grant>, ClientErrorCode> {
        panic!("provoked")
    }
    fn personal_channel(&self, _: &str, _: &str) -> String {
        panic!("provoked")
    }
    fn publish(&self, _: &str, _: &str, _: bool, _: &[u8]) -> Result<PublishOptions, ClientErrorCode> {
        panic!("provoked")
    }
    fn presence(&self, _: &str, _: &str, _: bool) -> Result<(), ClientErrorCode> {
        panic!("provoked")
    }
    fn history(&self, _: &str, _: &str, _: bool) -> Result<Duration, ClientErrorCode> {
        panic!("provoked")
    }
}

fn environment() -> Environment {
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
        policy: Box::new(Panicking),
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
fn reactor(runtime: &tokio::runtime::Runtime) -> Arc<Reactor> {
    struct Nowhere;
    impl Receiver for Nowhere {
        fn publication(
            &self,
            _: &Arc<str>,
            _: Arc<crate::broker::Publication>,
            _: crate::broker::StreamPosition,
            _: bool,
            _: Option<Arc<crate::broker::Publication>>,
        ) {
        }
        fn join(&self, _: &Arc<str>, _: Arc<crate::broker::ClientInfo>) {}
        fn leave(&self, _: &Arc<str>, _: Arc<crate::broker::ClientInfo>) {}
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
        tokens: Arc::new(Brittle),
        connections: Arc::new(OnceLock::new()),
    };
    Reactor::new(1, environment(), backend, clock, metrics, runtime.handle().clone()).unwrap()
}

fn dial(reactor: &Reactor, listener: &TcpListener) -> TcpStream {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    let (wire, transport, origin) = (Wire::default(), Transport::default(), Origin::default());
    reactor.accept(server, Handshake { wire, transport, origin, early: Vec::new() });
    client
}

fn send(stream: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).unwrap();
}

/// The next message; nothing at the end of the connection.
fn answer(stream: &mut TcpStream) -> Option<String> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).ok()?;
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).ok()?;
    Some(String::from_utf8_lossy(&payload).into_owned())
}

#[test]
fn a_panic_ends_the_connection_that_caused_it_and_no_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reactor = reactor(&runtime);
    let mut witness = dial(&reactor, &listener);
    send(&mut witness, r#"{"id":1,"connect":{"token":"witness"}}"#);
    assert!(answer(&mut witness).unwrap().contains("\"connect\""));
    let mut id = 1;
    let connect_panics = |token: &str| format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#);
    let attacks = [
        vec![connect_panics("at once")],
        vec![connect_panics("later")],
        vec![connect_panics("good"), r#"{"id":2,"subscribe":{"channel":"x"}}"#.to_owned()],
        vec![connect_panics("good"), r#"{"id":2,"publish":{"channel":"x","data":1}}"#.to_owned()],
        vec![connect_panics("good"), r#"{"id":2,"history":{"channel":"x"}}"#.to_owned()],
    ];
    for (count, attack) in (1..).zip(attacks) {
        let mut attacker = dial(&reactor, &listener);
        for command in &attack {
            send(&mut attacker, command);
        }
        while answer(&mut attacker).is_some() {}
        assert_eq!(reactor.traffic().panics.load(Ordering::Relaxed), count, "{attack:?}");
        id += 1;
        send(&mut witness, &format!(r#"{{"id":{id},"unsubscribe":{{"channel":"none"}}}}"#));
        assert_eq!(answer(&mut witness).unwrap(), format!(r#"{{"id":{id},"unsubscribe":{{}}}}"#));
    }
    assert_eq!(reactor.open_connections(), 1);
    reactor.stop();
}
