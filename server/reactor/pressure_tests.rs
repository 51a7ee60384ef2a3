//! Publishers that are faster than a shard wait before they publish.

use super::backend::settle;
use super::pressure::Pressure;
use super::rig::{self, Generous, answer, dial, runtime, send};
use super::{Reactor, TokenAuthority};
use crate::broker::{MaybeReady, Publication, Receiver, StreamPosition};
use crate::node::Connections;
use crate::seams::UnixMillis;
use crate::session::{AuthError, ConnectClaims, SubscribeClaims};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Keeps whoever verifies the token `stall` waiting for as long as a test wants: the thread of a shard.
#[derive(Default)]
struct Staller {
    phase: Mutex<Phase>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Phase {
    #[default]
    Running,
    Stalled,
    Released,
}

impl Staller {
    fn set(&self, phase: Phase) {
        *self.phase.lock() = phase;
        self.changed.notify_all();
    }

    fn wait_for(&self, phase: Phase) {
        self.changed.wait_while(&mut self.phase.lock(), |now| *now != phase);
    }
}

impl TokenAuthority for Staller {
    fn verify_connect(
        &self,
        token: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<ConnectClaims>, AuthError>> {
        if token == "stall" {
            self.set(Phase::Stalled);
            self.wait_for(Phase::Released);
        }
        MaybeReady::ready(Ok(Box::default()))
    }

    fn verify_subscribe(
        &self,
        _: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<SubscribeClaims>, AuthError>> {
        MaybeReady::ready(Err(AuthError::Invalid))
    }
}

/// Publishes without waiting while there is room; returns how many went.
fn publish_until_held_back(reactor: &Reactor, data: &Bytes) -> usize {
    let mut published = 0;
    while matches!(reactor.room_to_publish(), MaybeReady::Ready(_)) {
        publish(reactor, data.clone());
        published += 1;
    }
    published
}

fn publish(reactor: &Reactor, data: Bytes) {
    let publication = Arc::new(Publication { data, ..Default::default() });
    reactor.publication(&Arc::from("news"), publication, StreamPosition::default(), false, None);
}

/// A reactor of one shard with a subscriber, whose shard stands still until the staller is released.
fn stalled(runtime: &tokio::runtime::Runtime) -> (Arc<Reactor>, Arc<Staller>, [TcpStream; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let staller = Arc::new(Staller::default());
    let (reactor, _) = rig::reactor(runtime, rig::environment(Box::new(Generous)), staller.clone());
    let mut subscriber = dial(&reactor, &listener);
    send(&mut subscriber, r#"{"id":1,"connect":{"token":"good"}}"#);
    assert!(answer(&mut subscriber).unwrap().contains("\"connect\""));
    send(&mut subscriber, r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    assert!(answer(&mut subscriber).unwrap().contains("\"subscribe\""));
    let mut stalling = dial(&reactor, &listener);
    send(&mut stalling, r#"{"id":1,"connect":{"token":"stall"}}"#);
    staller.wait_for(Phase::Stalled);
    (reactor, staller, [subscriber, stalling])
}

#[test]
fn a_stalled_shard_holds_publishers_back_and_loses_nothing() {
    let runtime = runtime();
    let (reactor, staller, [mut subscriber, _stalling]) = stalled(&runtime);
    let published = publish_until_held_back(&reactor, &Bytes::from_static(b"1"));
    assert_eq!(published, 4096);
    let _inside = runtime.enter();
    let (Err(publisher), Err(reader)) = (settle(reactor.room_to_publish()), settle(reactor.room())) else {
        panic!("there is room in a stalled shard");
    };

    staller.set(Phase::Released);
    for _ in 0..published {
        assert_eq!(answer(&mut subscriber).unwrap(), r#"{"push":{"channel":"news","pub":{"data":1}}}"#);
    }
    runtime.block_on(async {
        publisher.await.unwrap();
        reader.await;
    });
    publish(&reactor, Bytes::from_static(b"2"));
    assert_eq!(answer(&mut subscriber).unwrap(), r#"{"push":{"channel":"news","pub":{"data":2}}}"#);
    reactor.stop();
}

#[test]
fn large_publications_are_held_back_sooner() {
    let runtime = runtime();
    let (reactor, staller, _connections) = stalled(&runtime);
    let published = publish_until_held_back(&reactor, &Bytes::from(vec![b'1'; 1 << 20]));
    assert_eq!(published, 16);
    staller.set(Phase::Released);
    runtime.block_on(reactor.room());
    reactor.stop();
}

#[test]
fn a_client_that_publishes_waits_like_everyone() {
    let runtime = runtime();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let staller = Arc::new(Staller::default());
    let (reactor, _) = rig::reactor(&runtime, rig::environment(Box::new(Generous)), staller.clone());
    let mut publisher = dial(&reactor, &listener);
    send(&mut publisher, r#"{"id":1,"connect":{"token":"good"}}"#);
    assert!(answer(&mut publisher).unwrap().contains("\"connect\""));
    // As if another shard were behind.
    reactor.shared.pressure.rise();
    send(&mut publisher, r#"{"id":2,"publish":{"channel":"news","data":1}}"#);
    send(&mut publisher, r#"{"id":3,"presence":{"channel":"news"}}"#);
    let mut witness = dial(&reactor, &listener);
    send(&mut witness, r#"{"id":1,"connect":{"token":"good"}}"#);
    assert!(answer(&mut witness).unwrap().contains("\"connect\""));
    publisher.set_nonblocking(true).unwrap();
    assert!(answer(&mut publisher).is_none(), "a publication went although a shard is behind");
    publisher.set_nonblocking(false).unwrap();
    reactor.shared.pressure.fall();
    assert_eq!(answer(&mut publisher).unwrap(), r#"{"id":2,"publish":{}}"#);
    assert!(answer(&mut publisher).unwrap().contains("\"presence\""));
    reactor.stop();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_does_not_wait_for_ever() {
    let pressure = Arc::new(Pressure::default());
    pressure.rise();
    let error = pressure.patient_relief().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "deliveries of this node are more than 10 s behind");
    pressure.fall();
    pressure.patient_relief().await.unwrap();
}
