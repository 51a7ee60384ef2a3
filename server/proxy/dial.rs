//! Opening connections to applications.

use super::allowance::{Allowance, Room};
use super::counted::Counted;
use super::http::user_agent;
use super::settings::TlsSettings;
use http::header::USER_AGENT;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tonic::body::Body;
use tower_service::Service;

/// How often the system looks whether a silent application is still there, and how often it looks in vain.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TRIES: u32 = 3;

/// How long what was sent may stay unacknowledged before the connection counts as cut. All calls over gRPC share
/// one, so a cut that nobody told of would cost every call until the system gave up by itself.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Connections that are not encrypted.
pub(super) fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE));
    tcp.set_keepalive_retries(Some(KEEP_ALIVE_TRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

/// Connections that are encrypted for `https` addresses, which offer these application protocols.
pub(super) fn https(tls: TlsSettings, protocols: &[&[u8]]) -> HttpsConnector<HttpConnector> {
    let mut config = ClientConfig::clone(&tls.config);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let names: Arc<dyn ResolveServerName + Send + Sync> = match tls.server_name {
        Some(name) => Arc::new(FixedServerNameResolver::new(name)),
        None => Arc::new(DefaultServerNameResolver::default()),
    };
    HttpsConnector::new(tcp(), Arc::new(config), false, names)
}

/// One connection of HTTP/2, opened by the first request and again when it is gone. Requests go to it without
/// another task between, which for small calls would cost as much as the call.
#[derive(Clone)]
pub(super) struct Http2 {
    client: Connection,
    allowance: Allowance,
    /// How long an answer waits for room.
    patience: Duration,
}

#[derive(Clone)]
enum Connection {
    Plain(Client<HttpConnector, Body>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Body>),
}

/// An answer whose body has not begun.
pub(super) struct Answering {
    answer: ResponseFuture,
    room: Option<Room>,
}

impl Http2 {
    pub fn new(tls: Option<TlsSettings>, allowance: Allowance, patience: Duration) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http2_only(true).timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        let client = match tls {
            None => Connection::Plain(builder.build(tcp())),
            Some(tls) => Connection::Encrypted(builder.build(https(tls, &[b"h2"]))),
        };
        Self { client, allowance, patience }
    }
}

impl Service<Request<Body>> for Http2 {
    type Response = Response<Counted<Incoming>>;
    type Error = Error;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Answering {
        request.headers_mut().insert(USER_AGENT, user_agent());
        let answer = match &self.client {
            Connection::Plain(client) => client.request(request),
            Connection::Encrypted(client) => client.request(request),
        };
        Answering { answer, room: Some(self.allowance.room(self.patience)) }
    }
}

impl Future for Answering {
    type Output = Result<Response<Counted<Incoming>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx))?;
        let room = self.room.take();
        Poll::Ready(Ok(answer.map(|body| Counted::new(body, room))))
    }
}
