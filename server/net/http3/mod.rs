//! HTTP/3: requests over QUIC, and WebTransport sessions on the same connections.
//!
//! QUIC is quinn's, requests are made of its streams by h3, which is experimental and knows nothing of WebTransport
//! sessions beside requests; [`carrier`] stands between both and sorts the streams.

mod carrier;
mod connection;
mod endpoint;
mod frames;
mod request_body;
mod sessions;
mod settings;
mod streams;
mod varint;

pub use endpoint::{QuicError, quic_endpoint};
pub use request_body::QuicBody;
pub use sessions::{Session, Stream, Upgrade};

use super::{Body, Peer, RequestBody, Workers};
use http::{Request, Response};
use hyper::service::Service;
use quinn::{Endpoint, VarInt};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long a peer may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes under way from which on peers must show that their address is theirs.
const TRUSTING_HANDSHAKES: usize = 64;
/// Handshakes under way at most.
const HANDSHAKES: usize = 4096;
/// How long is waited for peers to hear that their connections are closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// An endpoint and what it serves.
pub struct QuicServing<M> {
    /// Where connections come from.
    pub endpoint: Endpoint,
    /// Threads that serve the connections.
    pub workers: Arc<Workers>,
    /// Whether requests may ask for sessions of WebTransport.
    pub webtransport: bool,
    /// Makes the service of one connection.
    pub make_service: M,
}

/// Serves until `stop` is done, then takes no more connections and requests, lets requests and sessions under way
/// end and returns. Dropping the future closes all connections.
pub async fn serve_http3<M, S>(serving: QuicServing<M>, stop: impl Future<Output = ()>)
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let QuicServing { endpoint, workers, webtransport, make_service } = serving;
    let closed = CloseOnDrop(endpoint.clone());
    let (stopping, stopped) = watch::channel(false);
    let (living, mut ended) = mpsc::channel::<()>(1);
    let handshakes = Arc::new(AtomicUsize::new(0));
    let mut stop = std::pin::pin!(stop);
    loop {
        let incoming = tokio::select! {
            biased;
            () = &mut stop => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let under_way = handshakes.load(Ordering::Relaxed);
        if under_way >= HANDSHAKES {
            incoming.ignore();
            continue;
        }
        if under_way >= TRUSTING_HANDSHAKES && !incoming.remote_address_validated() && incoming.may_retry() {
            // It may, as was just asked.
            let _ = incoming.retry();
            continue;
        }
        let handshake = Handshake::begin(&handshakes);
        let service = make_service(Peer { address: incoming.remote_address(), tls: true });
        let (stopped, living) = (stopped.clone(), living.clone());
        workers.spawn(async move {
            if let Some(quic) = shake_hands(incoming).await {
                drop(handshake);
                if let Err(error) = connection::serve(quic, service, webtransport, stopped).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "connection over QUIC ended");
                }
            }
            drop(living);
        });
    }
    // Nobody but those that are connected is heard any more.
    endpoint.set_server_config(None);
    let _ = stopping.send(true);
    drop(living);
    // Nothing is sent: it answers when the last connection is gone.
    let _ = ended.recv().await;
    drop(closed);
    // Those that do not answer find out by themselves.
    let _ = tokio::time::timeout(FAREWELL, endpoint.wait_idle()).await;
}

/// Counts a handshake as long as it takes.
struct Handshake(Arc<AtomicUsize>);

impl Handshake {
    fn begin(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all.clone())
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Called where the connection is to be served: its packets are handled by the same thread.
async fn shake_hands(incoming: quinn::Incoming) -> Option<quinn::Connection> {
    let peer = incoming.remote_address();
    let shaking = async { incoming.accept()?.await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await {
        Ok(Ok(quic)) => Some(quic),
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, %peer, "QUIC handshake failed");
            None
        }
        Err(_) => None,
    }
}

struct CloseOnDrop(Endpoint);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(VarInt::from_u32(NO_ERROR), b"");
    }
}

/// Code of HTTP/3 for the end of a connection that nothing is wrong with.
const NO_ERROR: u32 = 0x100;
