//! Asking the application, seen from a connection.

use super::rig::{self, Generous, Trusting, answer, dial, runtime, send};
use super::{Environment, Reactor};
use crate::proxy::{Answer, Caller, Events, ProxyError, SubscribeStream};
use crate::session::{
    Grant, Overrides, Policy, PublishDecision, SubscribeAsk, SubscribeClaims, SubscribeDecision,
};
use futures_util::stream;
use gyre_proto::codes::ClientErrorCode;
use gyre_proto::proxy as wire;
use std::future::pending;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// Does what the name of a method or channel says.
struct Application {
    /// Calls that wait until [`Self::release`] or are given up.
    waiting: Arc<AtomicUsize>,
    /// One permit lets one call go on, whether it waits already or not yet.
    release: Arc<Semaphore>,
}

/// Counts a call for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn unknown<T: 'static>() -> Answer<T> {
    Box::pin(async { Err(ProxyError::Unknown { name: Arc::from("x") }) })
}

impl Events for Application {
    fn connect(&self, _: Arc<Caller>, _: wire::ConnectRequest) -> Answer<wire::ConnectResponse> {
        unknown()
    }
    fn refresh(&self, _: Arc<Caller>, _: wire::RefreshRequest) -> Answer<wire::RefreshResponse> {
        unknown()
    }
    fn rpc(&self, _: &str, _: Arc<Caller>, request: wire::RpcRequest) -> Answer<wire::RpcResponse> {
        assert_ne!(request.method, "panic", "provoked");
        assert_eq!((&*request.transport, &*request.protocol), ("websocket", "json"));
        let (waiting, release) = (self.waiting.clone(), self.release.clone());
        Box::pin(async move {
            match &*request.method {
                "panic later" => panic!("provoked"),
                "wait" => {
                    let _counted = Counted::new(&waiting);
                    release.acquire().await.expect("is never closed").forget();
                }
                _ => {}
            }
            let result = wire::RpcResult { data: request.data, ..Default::default() };
            Ok(wire::RpcResponse { result: Some(result), ..Default::default() })
        })
    }
    fn subscribe(
        &self,
        _: &str,
        _: Arc<Caller>,
        _: wire::SubscribeRequest,
    ) -> Answer<wire::SubscribeResponse> {
        unknown()
    }
    fn publish(&self, _: &str, _: Arc<Caller>, _: wire::PublishRequest) -> Answer<wire::PublishResponse> {
        unknown()
    }
    fn sub_refresh(
        &self,
        _: &str,
        _: Arc<Caller>,
        _: wire::SubRefreshRequest,
    ) -> Answer<wire::SubRefreshResponse> {
        unknown()
    }
    /// Says `first`, then what the client publishes; ends well after `end`, badly after `fail`.
    fn subscribe_stream(
        &self,
        _: &str,
        _: Arc<Caller>,
        _: wire::SubscribeRequest,
        _: bool,
    ) -> Answer<SubscribeStream> {
        let waiting = self.waiting.clone();
        Box::pin(async move {
            let (to_application, mut from_client) = mpsc::channel::<bytes::Bytes>(1);
            let publication = |data| wire::Publication { data, ..Default::default() };
            let counted = Counted::new(&waiting);
            let echoes = stream::poll_fn(move |context| from_client.poll_recv(context));
            let echoes = stream::unfold(Some((echoes, counted)), move |state| async move {
                use futures_util::StreamExt;
                let (mut echoes, counted) = state?;
                match echoes.next().await {
                    Some(data) if &data[..] == b"\"end\"" => None,
                    Some(data) if &data[..] == b"\"fail\"" => {
                        Some((Err(ProxyError::Timeout { name: Arc::from("x") }), None))
                    }
                    Some(data) => Some((Ok(publication(data)), Some((echoes, counted)))),
                    None => pending().await,
                }
            });
            use futures_util::StreamExt;
            let first = stream::once(async {
                Ok(wire::Publication { data: "\"first\"".into(), ..Default::default() })
            });
            Ok(SubscribeStream {
                response: wire::SubscribeResponse::default(),
                publications: first.chain(echoes).boxed(),
                to_application: Some(to_application),
            })
        })
    }
    fn notify_cache_empty(
        &self,
        _: &str,
        _: wire::NotifyCacheEmptyRequest,
    ) -> Answer<wire::NotifyCacheEmptyResponse> {
        unknown()
    }
}

/// Every subscription is fed; otherwise generous.
struct Feeding;

impl Policy for Feeding {
    fn subscribe(&self, _: &SubscribeAsk<'_>) -> Result<SubscribeDecision, ClientErrorCode> {
        Ok(SubscribeDecision::AskFeed(Arc::from("default"), true))
    }
    fn token_grant(
        &self,
        ask: &SubscribeAsk<'_>,
        claims: &SubscribeClaims,
    ) -> Result<Grant, ClientErrorCode> {
        Generous.token_grant(ask, claims)
    }
    fn server_grant(&self, channel: &str, overrides: &Overrides) -> Result<Grant, ClientErrorCode> {
        Generous.server_grant(channel, overrides)
    }
    fn connect_grant(&self, channel: &str, user: &str) -> Result<Option<Grant>, ClientErrorCode> {
        Generous.connect_grant(channel, user)
    }
    fn personal_channel(&self, namespace: &str, user: &str) -> String {
        Generous.personal_channel(namespace, user)
    }
    fn publish(&self, _: &str, _: &str, _: bool, _: &[u8]) -> Result<PublishDecision, ClientErrorCode> {
        Ok(PublishDecision::IntoFeed)
    }
    fn sub_refresh_proxy(&self, _: &str) -> Option<Arc<str>> {
        None
    }
    fn rpc(&self, method: &str) -> Result<Arc<str>, ClientErrorCode> {
        Generous.rpc(method)
    }
    fn presence(&self, channel: &str, user: &str, subscribed: bool) -> Result<(), ClientErrorCode> {
        Generous.presence(channel, user, subscribed)
    }
    fn history(&self, channel: &str, user: &str, subscribed: bool) -> Result<Duration, ClientErrorCode> {
        Generous.history(channel, user, subscribed)
    }
}

struct Stage {
    reactor: Arc<Reactor>,
    application: Arc<Application>,
    listener: TcpListener,
    _runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn new(adapt: impl FnOnce(&mut Environment)) -> Self {
        let runtime = runtime();
        let application =
            Arc::new(Application { waiting: Arc::default(), release: Arc::new(Semaphore::new(0)) });
        let mut environment = rig::environment(Box::new(Feeding));
        environment.application = application.clone();
        adapt(&mut environment);
        let (reactor, _) = rig::reactor(&runtime, environment, Arc::new(Trusting));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { reactor, application, listener, _runtime: runtime }
    }

    fn connect(&self) -> TcpStream {
        let mut client = dial(&self.reactor, &self.listener);
        send(&mut client, r#"{"id":1,"connect":{"token":"ann"}}"#);
        assert!(answer(&mut client).unwrap().contains("\"connect\""));
        client
    }

    /// Waits until so many calls or streams are alive.
    fn await_waiting(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.application.waiting.load(Ordering::SeqCst) != count {
            assert!(Instant::now() < deadline, "not {count} calls");
            std::thread::yield_now();
        }
    }
}

#[test]
fn calls_are_answered_and_only_their_connection_waits() {
    let stage = Stage::new(|_| {});
    let (mut slow, mut other) = (stage.connect(), stage.connect());
    send(&mut slow, r#"{"id":2,"rpc":{"method":"wait","data":1}}"#);
    stage.await_waiting(1);
    send(&mut slow, r#"{"id":3,"rpc":{"method":"echo","data":2}}"#);
    send(&mut other, r#"{"id":2,"rpc":{"method":"echo","data":3}}"#);
    assert_eq!(answer(&mut other).unwrap(), r#"{"id":2,"rpc":{"data":3}}"#);
    stage.application.release.add_permits(1);
    let mut replies = String::new();
    while !replies.contains("\"id\":3") {
        replies += &answer(&mut slow).unwrap();
    }
    assert!(replies.find("\"id\":2") < replies.find("\"id\":3"));
    stage.reactor.stop();
}

#[test]
fn pings_are_answered_while_a_command_waits() {
    let stage = Stage::new(|environment| {
        environment.settings.ping_interval = Duration::from_millis(100);
        environment.settings.pong_timeout = Duration::from_millis(90);
    });
    let mut client = stage.connect();
    send(&mut client, r#"{"id":2,"rpc":{"method":"wait","data":1}}"#);
    stage.await_waiting(1);
    // A later command is held back, the pongs behind it are not.
    send(&mut client, r#"{"id":3,"rpc":{"method":"echo","data":2}}"#);
    for _ in 0..5 {
        assert_eq!(answer(&mut client).unwrap(), "{}");
        send(&mut client, "{}");
    }
    stage.application.release.add_permits(1);
    let mut replies = String::new();
    while !replies.contains("\"id\":3") {
        replies += &answer(&mut client).expect("the connection lives");
    }
    stage.reactor.stop();
}

#[test]
fn a_native_ping_is_answered_while_a_command_waits() {
    let stage = Stage::new(|_| {});
    let mut client = stage.connect();
    send(&mut client, r#"{"id":2,"rpc":{"method":"wait","data":1}}"#);
    stage.await_waiting(1);
    client.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'x']).unwrap();
    assert_eq!(answer(&mut client).unwrap(), "x");
    stage.reactor.stop();
}

#[test]
fn the_end_of_a_connection_gives_its_calls_up() {
    let stage = Stage::new(|environment| {
        environment.settings.ping_interval = Duration::from_millis(50);
        environment.settings.pong_timeout = Duration::from_millis(40);
    });
    let mut client = stage.connect();
    send(&mut client, r#"{"id":2,"rpc":{"method":"wait","data":1}}"#);
    stage.await_waiting(1);
    // Nobody answers the ping.
    stage.await_waiting(0);
    while answer(&mut client).is_some() {}
    stage.reactor.stop();
}

#[test]
fn what_came_before_the_peer_closed_is_done() {
    let stage = Stage::new(|_| {});
    let mut client = stage.connect();
    send(&mut client, r#"{"id":2,"rpc":{"method":"wait","data":1}}"#);
    stage.await_waiting(1);
    send(&mut client, r#"{"id":3,"rpc":{"method":"wait","data":2}}"#);
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
    stage.application.release.add_permits(1);
    stage.await_waiting(1);
    stage.application.release.add_permits(1);
    stage.await_waiting(0);
    let mut rest = String::new();
    while let Some(message) = answer(&mut client) {
        rest += &message;
    }
    assert!(rest.contains("\"id\":2") && rest.contains("\"id\":3"), "{rest}");
    stage.reactor.stop();
}

#[test]
fn several_calls_of_one_connection_may_be_under_way() {
    let stage = Stage::new(|environment| environment.settings.concurrency = 2);
    let mut client = stage.connect();
    send(&mut client, r#"{"id":2,"rpc":{"method":"wait","data":1}}"#);
    stage.await_waiting(1);
    send(&mut client, r#"{"id":3,"rpc":{"method":"echo","data":2}}"#);
    assert_eq!(answer(&mut client).unwrap(), r#"{"id":3,"rpc":{"data":2}}"#);
    stage.reactor.stop();
}

#[test]
fn a_panic_of_a_call_ends_its_connection_and_no_other() {
    let stage = Stage::new(|_| {});
    let mut witness = stage.connect();
    for method in ["panic", "panic later"] {
        let mut client = stage.connect();
        send(&mut client, &format!(r#"{{"id":2,"rpc":{{"method":"{method}"}}}}"#));
        while answer(&mut client).is_some() {}
    }
    assert_eq!(stage.reactor.traffic().panics.load(Ordering::Relaxed), 2);
    send(&mut witness, r#"{"id":2,"rpc":{"method":"echo","data":1}}"#);
    assert_eq!(answer(&mut witness).unwrap(), r#"{"id":2,"rpc":{"data":1}}"#);
    stage.reactor.stop();
}

/// Messages until one holds `text`.
fn until(client: &mut TcpStream, text: &str) -> String {
    let mut messages = String::new();
    while !messages.contains(text) {
        messages += &answer(client).unwrap_or_else(|| panic!("no {text} after {messages}"));
        messages.push('\n');
    }
    messages
}

#[test]
fn a_feed_reaches_its_subscriber_after_the_reply_and_takes_what_it_publishes() {
    let stage = Stage::new(|_| {});
    let mut client = stage.connect();
    send(&mut client, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    let messages = until(&mut client, "first");
    assert!(messages.find("\"id\":2") < messages.find("first"), "{messages}");
    send(&mut client, r#"{"id":3,"publish":{"channel":"a","data":"echo"}}"#);
    let messages = until(&mut client, r#"{"push":{"channel":"a","pub":{"data":"echo"}}}"#);
    assert!(
        messages.contains(r#"{"id":3,"publish":{}}"#) || until(&mut client, "\"id\":3").contains("publish")
    );
    stage.reactor.stop();
}

#[test]
fn the_end_of_a_feed_reaches_its_subscriber() {
    let stage = Stage::new(|_| {});
    let mut client = stage.connect();
    for (last, code) in [("end", 2000), ("fail", 2500)] {
        send(&mut client, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
        until(&mut client, "first");
        send(&mut client, &format!(r#"{{"id":3,"publish":{{"channel":"a","data":"{last}"}}}}"#));
        until(&mut client, &format!(r#""unsubscribe":{{"code":{code}"#));
        stage.await_waiting(0);
    }
    stage.reactor.stop();
}

#[test]
fn leaving_cancels_the_feed_without_a_word() {
    let stage = Stage::new(|_| {});
    let mut client = stage.connect();
    send(&mut client, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    until(&mut client, "first");
    stage.await_waiting(1);
    send(&mut client, r#"{"id":3,"unsubscribe":{"channel":"a"}}"#);
    stage.await_waiting(0);
    send(&mut client, r#"{"id":4,"rpc":{"method":"echo","data":1}}"#);
    let messages = until(&mut client, "\"id\":4");
    assert!(!messages.contains("2500"), "{messages}");
    send(&mut client, r#"{"id":5,"subscribe":{"channel":"b"}}"#);
    until(&mut client, "first");
    stage.await_waiting(1);
    drop(client);
    stage.await_waiting(0);
    stage.reactor.stop();
}
