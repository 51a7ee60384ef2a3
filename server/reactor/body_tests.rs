//! Connections without a socket, over each framing.

use super::rig::{self, Generous, Trusting};
use super::{BrokenOff, Handshake, Input, Reactor, ResponseBody, TokenAuthority, Wire, tunnel};
use crate::broker::{Broker, MaybeReady, MemoryBroker, PublishOptions};
use crate::node::{Connections, DisconnectUser, EmulationError, Target};
use crate::observability::Transport;
use crate::protocol::Encoding;
use crate::seams::UnixMillis;
use crate::session::{AuthError, ConnectClaims, SubscribeClaims};
use crate::transport::framing::Framing;
use bytes::Bytes;
use gyre_proto::client;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    runtime: Runtime,
    reactor: Arc<Reactor>,
    broker: Arc<MemoryBroker>,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut super::Environment)) -> Self {
        Self::trusting(Arc::new(Trusting), change)
    }

    fn trusting(tokens: Arc<dyn TokenAuthority>, change: impl FnOnce(&mut super::Environment)) -> Self {
        let runtime = rig::runtime();
        let mut environment = rig::environment(Box::new(Generous));
        change(&mut environment);
        let (reactor, broker) = rig::reactor(&runtime, environment, tokens);
        Self { runtime, reactor, broker }
    }

    fn run(self, test: impl AsyncFnOnce(&Self)) {
        let outcome = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, test(&self)).await });
        assert!(outcome.is_ok(), "took too long");
        self.reactor.stop();
    }

    async fn publish(&self, channel: &str, data: impl Into<Bytes>) {
        let options = PublishOptions::default();
        self.broker.publish(&Arc::from(channel), data.into(), options).await.unwrap();
    }

    fn disconnect(&self, user: &str, code: u32) {
        self.reactor.disconnect(Arc::new(DisconnectUser {
            target: Target { user: user.to_owned(), ..Default::default() },
            whitelist: Vec::new(),
            code,
            reason: "told to".to_owned(),
        }));
    }

    /// Waits until the reactor holds that many connections.
    async fn settle(&self, connections: u64) {
        while self.reactor.open_connections() != connections {
            tokio::task::yield_now().await;
        }
    }
}

fn http_stream() -> Handshake {
    let wire = Wire { framing: Framing::Lines, ..Wire::default() };
    Handshake::new(Transport::HttpStream, wire)
}

const CONNECT: &str = r#"{"id":1,"connect":{"token":"ann"}}"#;
const SUBSCRIBE: &str = r#"{"id":2,"subscribe":{"channel":"news"}}"#;

/// Reads until what came ends with `end`.
async fn until(body: &mut ResponseBody, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let bytes = body.next().await.unwrap().expect("more to come");
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

async fn say(input: &Input, text: &str) {
    input.send(Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
}

#[test]
fn lines_flow_both_ways_and_the_last_one_says_why_it_ends() {
    Bench::new().run(async |bench| {
        let handshake = Handshake { early: Some(CONNECT.into()), ..http_stream() };
        let (mut body, input) = bench.reactor.accept_body(handshake);
        assert!(until(&mut body, "\n").await.starts_with(r#"{"id":1,"connect":{"client":"#));
        input.send_and_wait(SUBSCRIBE.into()).await.unwrap();
        bench.publish("news", r#"{"n":1}"#).await;
        let expected =
            "{\"id\":2,\"subscribe\":{}}\n{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":{\"n\":1}}}}\n";
        assert_eq!(until(&mut body, "}}}}\n").await, expected);
        bench.disconnect("ann", 4000);
        let last = "{\"push\":{\"disconnect\":{\"code\":4000,\"reason\":\"told to\"}}}\n";
        assert_eq!(until(&mut body, last).await, last);
        assert_eq!(body.next().await, Ok(None));
        assert!(input.send("{}".into()).await.is_err());
        bench.settle(0).await;
    });
}

#[test]
fn a_dropped_body_or_an_ended_input_ends_the_connection() {
    Bench::new().run(async |bench| {
        let (body, _input) = bench.reactor.accept_body(http_stream());
        bench.settle(1).await;
        drop(body);
        bench.settle(0).await;
        let (mut body, input) = bench.reactor.accept_body(http_stream());
        say(&input, CONNECT).await;
        input.end();
        // What was said before the end is answered.
        assert!(until(&mut body, "\n").await.contains("\"connect\""));
        assert_eq!(body.next().await, Ok(None));
        bench.settle(0).await;
        let (body, _input) = bench.reactor.accept_body(http_stream());
        drop(body);
        bench.settle(0).await;
    });
}

#[test]
fn a_peer_that_does_not_read_is_broken_off() {
    let limit = 100_000;
    Bench::with(|environment| environment.limits.queue_max_size = limit).run(async |bench| {
        let handshake = Handshake { early: Some([CONNECT, SUBSCRIBE].join("\n").into()), ..http_stream() };
        let (mut slow, _input) = bench.reactor.accept_body(handshake.clone());
        let (mut fast, _other) = bench.reactor.accept_body(handshake);
        until(&mut fast, "{\"id\":2,\"subscribe\":{}}\n").await;
        bench.settle(2).await;
        // As much as may wait, and the chunk that is offered already.
        let payload = "1".repeat(10_000);
        for _ in 0..2 * (limit + super::body::CHUNK) / payload.len() {
            bench.publish("news", payload.clone()).await;
            until(&mut fast, "}}}\n").await;
        }
        bench.settle(1).await;
        assert_eq!(slow.next().await, Err(BrokenOff));
    });
}

#[test]
fn a_stuck_write_ends_the_connection() {
    let timeout = Duration::from_millis(20);
    Bench::with(|environment| {
        environment.limits.transports[Transport::HttpStream as usize].write_timeout = timeout;
    })
    .run(async |bench| {
        let handshake = Handshake { early: Some([CONNECT, SUBSCRIBE].join("\n").into()), ..http_stream() };
        let (slow, _input) = bench.reactor.accept_body(handshake.clone());
        let (mut fast, _other) = bench.reactor.accept_body(handshake);
        until(&mut fast, "{\"id\":2,\"subscribe\":{}}\n").await;
        bench.publish("news", "1").await;
        until(&mut fast, "}}}\n").await;
        while slow.close().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(slow.close().unwrap().code, 3009);
    });
}

#[test]
fn events_hold_one_message_each() {
    Bench::new().run(async |bench| {
        let wire = Wire { framing: Framing::Events, ..Wire::default() };
        let handshake = Handshake { early: Some(CONNECT.into()), ..Handshake::new(Transport::Sse, wire) };
        let (mut body, _input) = bench.reactor.accept_body(handshake);
        assert!(until(&mut body, "}}\n\n").await.starts_with("data: {\"id\":1,\"connect\""));
        bench.disconnect("ann", 4000);
        let last = "data: {\"push\":{\"disconnect\":{\"code\":4000,\"reason\":\"told to\"}}}\n\n";
        assert_eq!(until(&mut body, last).await, last);
    });
}

fn emulated() -> Handshake {
    let mut handshake = Handshake { early: Some(CONNECT.into()), ..http_stream() };
    handshake.transport.emulation = true;
    handshake
}

/// The session in a connect result.
fn session(connect: &str) -> String {
    let reply: serde_json::Value = serde_json::from_str(connect).unwrap();
    reply["connect"]["session"].as_str().unwrap().to_owned()
}

/// Commands as a request brings them.
fn text(commands: &str) -> Bytes {
    serde_json::to_vec(commands).unwrap().into()
}

#[test]
fn commands_find_the_connection_of_their_session() {
    Bench::new().run(async |bench| {
        let (mut body, _) = bench.reactor.accept_body(emulated());
        let session = session(&until(&mut body, "\n").await);
        let emulate = |session: &str, commands| bench.reactor.emulate(session, commands);
        emulate(&session, text(SUBSCRIBE)).await.unwrap();
        assert_eq!(until(&mut body, "\n").await, "{\"id\":2,\"subscribe\":{}}\n");
        let unknown = uuid::Uuid::nil().to_string();
        for other in [unknown.as_str(), "", "no session"] {
            let refused = emulate(other, text(SUBSCRIBE)).await;
            assert!(matches!(refused, Err(EmulationError::NoSession)), "{other}: {refused:?}");
        }
        for data in ["", "{}", SUBSCRIBE, "\"open"] {
            let refused = emulate(&session, data.into()).await;
            assert!(matches!(refused, Err(EmulationError::Malformed)), "{data}: {refused:?}");
        }
        emulate(&session, text("")).await.unwrap();
        assert!(until(&mut body, "}}}\n").await.contains("3501"));
        drop(body);
        bench.settle(0).await;
        assert!(matches!(emulate(&session, text(SUBSCRIBE)).await, Err(EmulationError::NoSession)));
    });
}

#[test]
fn nobody_steers_a_connection_that_only_receives() {
    Bench::new().run(async |bench| {
        let wire = Wire { unidirectional: true, framing: Framing::Lines, ..Wire::default() };
        let connect = client::ConnectRequest { token: "ann".to_owned(), ..Default::default() };
        let handshake =
            Handshake { connect: Some(Box::new(connect)), ..Handshake::new(Transport::UniHttpStream, wire) };
        let (mut body, _input) = bench.reactor.accept_body(handshake);
        let session = session(&until(&mut body, "\n").await);
        let refused = bench.reactor.emulate(&session, text(SUBSCRIBE)).await;
        assert!(matches!(refused, Err(EmulationError::NoSession)), "{refused:?}");
    });
}

/// Takes its time for the token `slow`.
struct Slow {
    asked: Semaphore,
    answers: Arc<Semaphore>,
}

impl TokenAuthority for Slow {
    fn verify_connect(
        &self,
        token: String,
        now: UnixMillis,
    ) -> MaybeReady<Result<Box<ConnectClaims>, AuthError>> {
        if token != "slow" {
            return Trusting.verify_connect(token, now);
        }
        self.asked.add_permits(1);
        let answers = self.answers.clone();
        MaybeReady::later(async move {
            answers.acquire().await.unwrap().forget();
            Err(AuthError::Invalid)
        })
    }

    fn verify_subscribe(
        &self,
        _: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<SubscribeClaims>, AuthError>> {
        MaybeReady::ready(Err(AuthError::Invalid))
    }
}

#[test]
fn commands_are_handled_when_the_last_of_them_is_answered() {
    let slow = Arc::new(Slow { asked: Semaphore::new(0), answers: Arc::new(Semaphore::new(0)) });
    let tokens = slow.clone();
    Bench::trusting(tokens, |_| {}).run(async |bench| {
        let (mut body, _) = bench.reactor.accept_body(emulated());
        let session = session(&until(&mut body, "\n").await);
        let commands = text(&[SUBSCRIBE, r#"{"id":3,"refresh":{"token":"slow"}}"#].join("\n"));
        let handled = tokio::spawn(bench.reactor.emulate(&session, commands));
        slow.asked.acquire().await.unwrap().forget();
        // The one shard says something after it asked, so it would have said that the commands were handled, too.
        bench.publish("news", "1").await;
        until(&mut body, "}}}\n").await;
        assert!(!handled.is_finished());
        slow.answers.add_permits(1);
        handled.await.unwrap().unwrap();
        assert!(until(&mut body, "}}}\n").await.contains("3500"));
    });
}

fn grpc_messages(bytes: &[u8]) -> Vec<client::Push> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while let [0, a, b, c, d, tail @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        messages.push(client::Push::decode(&tail[..length]).unwrap());
        rest = &tail[length..];
    }
    messages
}

#[test]
fn a_unidirectional_grpc_stream_ends_with_trailers() {
    Bench::new().run(async |bench| {
        let wire = Wire {
            encoding: Encoding::Protobuf,
            unidirectional: true,
            framing: Framing::Grpc,
            ..Wire::default()
        };
        let connect = client::ConnectRequest {
            token: "ann".to_owned(),
            subs: [("news".to_owned(), client::SubscribeRequest::default())].into(),
            ..Default::default()
        };
        let handshake =
            Handshake { connect: Some(Box::new(connect)), ..Handshake::new(Transport::UniGrpc, wire) };
        let (body, _input) = bench.reactor.accept_body(handshake);
        let mut body = body.with_trailers(|close| {
            let code = HeaderValue::from(close.map_or(0, |close| close.code));
            Some(HeaderMap::from_iter([(http::header::HeaderName::from_static("code"), code)]))
        });
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let connect = grpc_messages(&first).remove(0).connect.unwrap();
        assert!(connect.subs.contains_key("news"), "{connect:?}");
        bench.disconnect("ann", 4000);
        let rest = body.collect().await.unwrap();
        assert_eq!(rest.trailers().unwrap()["code"], "4000");
        let last = grpc_messages(&rest.to_bytes()).pop().unwrap().disconnect.unwrap();
        assert_eq!((last.code, last.reason.as_str()), (4000, "told to"));
    });
}

#[test]
fn an_empty_grpc_message_is_a_pong_nobody_asked_for() {
    Bench::new().run(async |bench| {
        let wire = Wire { encoding: Encoding::Protobuf, framing: Framing::Grpc, ..Wire::default() };
        let (mut body, input) = bench.reactor.accept_body(Handshake::new(Transport::UniGrpc, wire));
        let request = client::ConnectRequest { token: "ann".to_owned(), ..Default::default() };
        let connect = client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() };
        input.send(connect.encode_to_vec().into()).await.unwrap();
        let first = body.next().await.unwrap().unwrap();
        assert!(client::Reply::decode(&first[5..]).unwrap().connect.is_some());
        input.send(Bytes::new()).await.unwrap();
        while body.next().await.unwrap().is_some() {}
        assert_eq!(body.close().unwrap().code, 3501);
    });
}

#[test]
fn websocket_frames_go_through_a_tunnel() {
    Bench::new().run(async |bench| {
        let (near, mut far) = tokio::io::duplex(1000);
        let (body, input) = bench.reactor.accept_body(Handshake::new(Transport::WebSocket, Wire::default()));
        let tunnel = tokio::spawn(tunnel(near, body, input));
        let mut frame = vec![0x81, 0x80 | u8::try_from(CONNECT.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(CONNECT.as_bytes());
        // Cut anywhere.
        far.write_all(&frame[..7]).await.unwrap();
        far.write_all(&frame[7..]).await.unwrap();
        let mut head = [0; 2];
        far.read_exact(&mut head).await.unwrap();
        assert_eq!(head[0], 0x81);
        let mut reply = vec![0; usize::from(head[1])];
        far.read_exact(&mut reply).await.unwrap();
        assert!(reply.starts_with(br#"{"id":1,"connect":"#));
        bench.disconnect("ann", 4000);
        let mut close = [0; 4];
        far.read_exact(&mut close).await.unwrap();
        assert_eq!(close, [0x88, 9, 0x0F, 0xA0]);
        far.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x0F, 0xA0]).await.unwrap();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"told to");
        tunnel.await.unwrap();
        bench.settle(0).await;
    });
}
