//! Taking connections from a listener and serving HTTP/1.1 and HTTP/2 on them.

use super::streams::{Streams, drive};
use super::{Body, Peer, RequestBody, Workers};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long a peer may take for a request head, and how long an idle connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests one HTTP/2 connection may have under way.
const CONCURRENT_STREAMS: u32 = 1024;
/// Window of an HTTP/2 stream and of a connection, in bytes: what a peer may send ahead of us.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to answer.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(60);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after the system refused to give us a connection, for example for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener and what it serves.
pub struct Serving<M> {
    /// Where connections come from.
    pub listener: TcpListener,
    /// TLS, or none.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Threads that serve the connections; `None` uses the runtime that accepts them.
    pub workers: Option<Arc<Workers>>,
    /// Whether requests over HTTP/2 may ask for a stream of another protocol.
    pub extended_connect: bool,
    /// Makes the service of one connection.
    pub make_service: M,
}

/// Serves until `stop` is done, then takes no more connections, lets requests under way end and
/// returns. Upgraded connections are their owner's and are not waited for.
///
/// An upgraded connection gives back `TokioIo<TcpStream>`, with TLS
/// `TokioIo<tokio_rustls::server::TlsStream<TcpStream>>`, through
/// [`hyper_util::server::conn::auto::upgrade::downcast`].
///
/// Dropping the future closes the listener and leaves connections to end by themselves.
pub async fn serve<M, S>(serving: Serving<M>, stop: impl Future<Output = ()>)
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let Serving { listener, tls, workers, extended_connect, make_service } = serving;
    let tls = tls.map(TlsAcceptor::from);
    let http = Arc::new(Http { http1: http1(), extended_connect });
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_peers_fault(&error) => continue,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Best effort: the peer may have gone.
        let _ = stream.set_nodelay(true);
        let service = OverTcp(make_service(Peer { address, tls: tls.is_some() }));
        let watcher = graceful.watcher();
        let http = Arc::clone(&http);
        let Ok(stream) = stream.into_std() else { continue };
        let tls = tls.clone();
        let work = async move {
            // Registered here, with the thread that serves it.
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            match tls {
                None => {
                    if let Some(version) = version(&stream).await {
                        connection(&http, version, stream, service, watcher).await;
                    }
                }
                Some(tls) => {
                    if let Some((stream, version)) = handshake(&tls, stream, address).await {
                        connection(&http, version, stream, service, watcher).await;
                    }
                }
            }
        };
        match &workers {
            Some(workers) => workers.spawn(work),
            None => drop(tokio::spawn(work)),
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// A service of requests that come over TCP.
struct OverTcp<S>(S);

impl<S: Service<Request<RequestBody>>> Service<Request<Incoming>> for OverTcp<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.0.call(request.map(RequestBody::Tcp))
    }
}

/// Which protocol a connection speaks.
#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

/// How connections are served.
struct Http {
    http1: Builder<TokioExecutor>,
    extended_connect: bool,
}

fn http1() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http
}

fn http2(streams: Streams, extended_connect: bool) -> Builder<Streams> {
    let mut http = Builder::new(streams).http2_only();
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    if extended_connect {
        http.http2().enable_connect_protocol();
    }
    http
}

/// The beginning of an HTTP/2 connection; no HTTP/1 method looks like it.
const PREFACE: &[u8; 4] = b"PRI ";
/// Pause before looking again at a preface that came in pieces, which only odd peers send.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);

/// Finds out which protocol a peer without TLS speaks, leaving what it sent unread. The library
/// could tell too, but would wait forever for a peer that sends nothing.
async fn version(stream: &TcpStream) -> Option<Version> {
    let look = async {
        loop {
            let mut bytes = [0; PREFACE.len()];
            let seen = stream.peek(&mut bytes).await.ok()?;
            match seen {
                0 => return None,
                _ if !PREFACE.starts_with(&bytes[..seen]) => return Some(Version::Http1),
                4 => return Some(Version::Http2),
                _ => tokio::time::sleep(PREFACE_PAUSE).await,
            }
        }
    };
    tokio::time::timeout(HEAD_TIMEOUT, look).await.ok().flatten()
}

async fn connection<I, S>(http: &Http, version: Version, io: I, service: S, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let io = TokioIo::new(io);
    let served = match version {
        Version::Http1 => watcher.watch(http.http1.serve_connection_with_upgrades(io, service)).await,
        Version::Http2 => {
            let streams = Streams::default();
            let http2 = http2(streams.clone(), http.extended_connect);
            drive(watcher.watch(http2.serve_connection(io, service)), streams).await
        }
    };
    if let Err(error) = served {
        // Peers go away and break the protocol as they like.
        tracing::debug!(error = &*error as &dyn std::error::Error, "connection ended");
    }
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(tokio_rustls::server::TlsStream<TcpStream>, Version)> {
    let result = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let tell = |error: io::Error| {
        tracing::debug!(error = &error as &dyn std::error::Error, %peer, "TLS handshake failed");
    };
    let stream = result.map_err(tell).ok()?;
    let version = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Version::Http2,
        _ => Version::Http1,
    };
    Some((stream, version))
}

/// Whether a connection was lost before we took it, which says nothing about the listener.
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
