//! Opening connections to applications.

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
use std::sync::Arc;
use std::task::{Context, Poll};
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

/// Connections that are encrypted for `https` addresses.
pub(super) fn https(tls: TlsSettings) -> HttpsConnector<HttpConnector> {
    let names: Arc<dyn ResolveServerName + Send + Sync> = match tls.server_name {
        Some(name) => Arc::new(FixedServerNameResolver::new(name)),
        None => Arc::new(DefaultServerNameResolver::default()),
    };
    HttpsConnector::new(tcp(), tls.config, false, names)
}

/// One connection of HTTP/2, opened by the first request and again when it is gone. Requests go to it without
/// another task between, which for small calls would cost as much as the call.
#[derive(Clone)]
pub(super) enum Http2 {
    Plain(Client<HttpConnector, Body>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Body>),
}

impl Http2 {
    pub fn new(tls: Option<TlsSettings>) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http2_only(true).timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        let Some(mut tls) = tls else { return Self::Plain(builder.build(tcp())) };
        let mut config = ClientConfig::clone(&tls.config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        tls.config = Arc::new(config);
        Self::Encrypted(builder.build(https(tls)))
    }
}

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        request.headers_mut().insert(USER_AGENT, user_agent());
        match self {
            Self::Plain(client) => client.request(request),
            Self::Encrypted(client) => client.request(request),
        }
    }
}
