//! Peers over QUIC that announce too much, open too much, or say nothing.

use crate::memory::resident_bytes;
use crate::process::{Process, free_address};
use bytes::Bytes;
use h3::client::{RequestStream, SendRequest};
use h3::ext::Protocol;
use h3_quinn::quinn;
use hyper::http::Request;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rcgen::CertifiedKey;
use rustls_pki_types::CertificateDer;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_rustls::rustls;

/// How long anything may take that is decided at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// The server gives a peer ten seconds to say what it wants; this leaves room for a busy machine.
const SILENCE: Duration = Duration::from_secs(19);
/// Code for peers that want too much.
const EXCESSIVE_LOAD: u64 = 0x107;
/// Code for streams that no session takes.
const STREAM_REFUSED: u64 = 0x3994_bd84;

/// A server whose external port speaks TLS and QUIC.
struct Server {
    process: Process,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
}

fn server() -> Server {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let start = || {
        let (internal, address) = (free_address(), free_address());
        let config = json!({
            "client": {"insecure": true},
            "webtransport": {"enabled": true},
            "http_server": {
                "address": "127.0.0.1", "port": address.port(), "internal_port": internal.port().to_string(),
                "tls": {"enabled": true, "cert_pem": cert.pem(), "key_pem": signing_key.serialize_pem()},
                "tls_external": true, "http3": {"enabled": true},
            },
        });
        let process = Process::try_start_at(internal, &config)?;
        Some(Server { process, address, certificate: cert.der().clone() })
    };
    // Ports are free now; another process may take them, so a failed start is tried again.
    (0..3).find_map(|_| start()).expect("a server that starts")
}

fn endpoint(server: &Server) -> Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap())));
    endpoint
}

async fn dial(server: &Server) -> quinn::Connection {
    endpoint(server).connect(server.address, "localhost").unwrap().await.unwrap()
}

struct Client {
    quic: quinn::Connection,
    requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
    driver: JoinHandle<()>,
}

type Exchange = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    async fn connect(server: &Server) -> Self {
        let quic = dial(server).await;
        let mut builder = h3::client::builder();
        builder.enable_datagram(true).enable_extended_connect(true);
        let (mut connection, requests) =
            builder.build(h3_quinn::Connection::new(quic.clone())).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.wait_idle().await) });
        Self { quic, requests, driver }
    }

    /// Asks for a session: the status, and its stream.
    async fn session(&mut self) -> (u16, Exchange) {
        let mut request = Request::connect("https://localhost/connection/webtransport").body(()).unwrap();
        request.extensions_mut().insert(Protocol::WEB_TRANSPORT);
        let mut exchange = self.requests.send_request(request).await.unwrap();
        let status = exchange.recv_response().await.unwrap().status().as_u16();
        (status, exchange)
    }

    async fn stream(&self, session: &Exchange) -> (quinn::SendStream, quinn::RecvStream) {
        let (mut send, recv) = self.quic.open_bi().await.unwrap();
        send.write_all(&[0x40, 0x41, session.id().into_inner() as u8]).await.unwrap();
        (send, recv)
    }

    /// Fails unless the server still answers on this connection.
    async fn check_alive(&mut self) {
        let request = Request::get("https://localhost/nothing").body(()).unwrap();
        let mut exchange = self.requests.send_request(request).await.unwrap();
        exchange.finish().await.unwrap();
        assert_eq!(exchange.recv_response().await.unwrap().status(), 404);
    }
}

async fn within<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(patience, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// The code with which the server ended the connection.
async fn close_code(quic: &quinn::Connection) -> u64 {
    match within(PATIENCE, "the end of the connection", quic.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        error => panic!("ended by {error}"),
    }
}

#[tokio::test]
async fn frames_that_announce_too_much_end_the_connection() {
    let server = server();
    // Header fields, an unknown frame, and a setting, of a terabyte each.
    for (kind, is_request) in [(1, true), (0x21, true), (4, false)] {
        let quic = dial(&server).await;
        let length = (1u64 << 40 | 0xc000_0000_0000_0000).to_be_bytes();
        let frame = [&[kind][..], &length].concat();
        if is_request {
            let (mut send, _recv) = quic.open_bi().await.unwrap();
            send.write_all(&frame).await.unwrap();
            assert_eq!(close_code(&quic).await, EXCESSIVE_LOAD, "frame {kind}");
        } else {
            let mut send = quic.open_uni().await.unwrap();
            send.write_all(&[&[0][..], &frame].concat()).await.unwrap();
            assert_eq!(close_code(&quic).await, EXCESSIVE_LOAD, "frame {kind}");
        }
    }
    Client::connect(&server).await.check_alive().await;
}

#[tokio::test]
async fn header_fields_beyond_the_limit_are_answered() {
    let server = server();
    let mut client = Client::connect(&server).await;
    let request =
        Request::get("https://localhost/nothing").header("x-long", "x".repeat(70_000)).body(()).unwrap();
    // Our own client would not send what the server said it does not take, so its settings are not waited for.
    let Ok(mut exchange) = client.requests.send_request(request).await else { return };
    assert_eq!(exchange.recv_response().await.unwrap().status(), 431);
    client.check_alive().await;
}

#[tokio::test]
async fn sessions_of_a_connection_are_limited() {
    let server = server();
    let mut client = Client::connect(&server).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let (status, session) = client.session().await;
        assert_eq!(status, 200);
        open.push(session);
    }
    assert_eq!(client.session().await.0, 429);
    // Ended ones make room.
    open.pop().unwrap().finish().await.unwrap();
    within(PATIENCE, "room for a session", async {
        while client.session().await.0 != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.check_alive().await;
}

#[tokio::test]
async fn a_session_has_one_stream() {
    let server = server();
    let mut client = Client::connect(&server).await;
    let (_, session) = client.session().await;
    let (mut first, mut answers) = client.stream(&session).await;
    first.write_all(b"{\"id\":1,\"connect\":{}}\n").await.unwrap();
    let answer = within(PATIENCE, "an answer", answers.read_chunk(1000, true)).await.unwrap().unwrap();
    assert!(answer.bytes.starts_with(b"{\"id\":1,\"connect\":"), "{:?}", answer.bytes);
    // One more waits for a session that takes one, the others are refused, and so are those that go one way or
    // belong to no session.
    let _second = client.stream(&session).await;
    for _ in 0..200 {
        let (send, _recv) = client.stream(&session).await;
        let code = within(PATIENCE, "a refusal", send.stopped()).await.unwrap();
        assert_eq!(code.map(quinn::VarInt::into_inner), Some(STREAM_REFUSED));
    }
    for _ in 0..50 {
        let mut send = client.quic.open_uni().await.unwrap();
        send.write_all(&[0x40, 0x54, session.id().into_inner() as u8]).await.unwrap();
        assert!(within(PATIENCE, "a refusal", send.stopped()).await.unwrap().is_some());
    }
    for _ in 0..1000 {
        client.quic.send_datagram(Bytes::from_static(&[0; 1000])).unwrap();
    }
    first.write_all(b"{\"id\":2,\"rpc\":{}}\n").await.unwrap();
    let answer = within(PATIENCE, "an answer", answers.read_chunk(1000, true)).await.unwrap().unwrap();
    assert!(answer.bytes.starts_with(b"{\"id\":2,"), "{:?}", answer.bytes);
}

#[tokio::test]
async fn silent_peers_are_given_up() {
    let server = server();
    // Kept alive below HTTP, so that only limits of ours end anything.
    let mut client = Client::connect(&server).await;
    let (status, mut session) = client.session().await;
    assert_eq!(status, 200);
    let (mut unsaid, mut nothing) = client.quic.open_bi().await.unwrap();
    unsaid.write_all(&[0x40]).await.unwrap();
    let (mut half, mut unanswered) = client.quic.open_bi().await.unwrap();
    half.write_all(&[1, 0x20, 0]).await.unwrap();
    let ended = async {
        // A session without a stream, a stream without a purpose, and a request without all of its head.
        while let Ok(Some(_)) = session.recv_data().await {}
        while let Ok(Some(_)) = nothing.read_chunk(100, true).await {}
        while let Ok(Some(_)) = unanswered.read_chunk(100, true).await {}
    };
    within(SILENCE, "the end of what says nothing", ended).await;
    client.check_alive().await;
}

#[tokio::test]
async fn peers_that_do_not_read_cost_what_is_allowed() {
    let server = server();
    let before = resident_bytes(&server.process);
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(&server).await;
        let (_, session) = client.session().await;
        let (mut send, recv) = client.stream(&session).await;
        // Errors that nobody reads, as many as are taken.
        let command = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"nowhere:x\"}}\n";
        let flood = command.repeat(100).into_bytes();
        let sent = tokio::time::timeout(Duration::from_millis(20), async {
            while send.write_all(&flood).await.is_ok() {}
        })
        .await;
        drop(sent);
        clients.push((client, session, send, recv));
    }
    Client::connect(&server).await.check_alive().await;
    let grown = resident_bytes(&server.process).saturating_sub(before);
    assert!(grown < 400 << 20, "{} MiB for 50 connections", grown >> 20);
    drop(clients);
}
