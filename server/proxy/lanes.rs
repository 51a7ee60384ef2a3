//! Connections to an application over HTTP: HTTP/2 where TLS agrees on it, HTTP/1.1 otherwise.

use super::dial;
use super::settings::TlsSettings;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Calls that share a connection of HTTP/2. Servers allow at least as many, more calls than a server allows would
/// wait for each other; so the next ones get another connection, as with Go's client.
const CALLS: usize = 100;

/// Connections of HTTP/2 to one application: enough for all calls a gate lets through.
const LANES: usize = super::gate::RUNNING.div_ceil(CALLS);

/// Connections of HTTP/1.1 kept for the next call.
const IDLE_CONNECTIONS: usize = 255;

/// How long connections are kept that nobody uses.
const IDLE_TIME: Duration = Duration::from_secs(90);

/// Bytes of an answer that are read ahead of whoever reads it. Enough for all calls of a connection, so that an answer
/// nobody reads for a while does not hold up the others.
const READ_AHEAD: u32 = 64 << 10;

/// All connections to one endpoint.
pub(super) struct Lanes(Vec<Way>);

/// A client that has one connection of HTTP/2, or any number of HTTP/1.1.
struct Way {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    calls: AtomicUsize,
}

/// A place for one call, until its answer is read.
pub(super) struct Lane<'l>(&'l Way);

impl Lanes {
    /// Connections are opened when they are needed.
    pub fn new(tls: &TlsSettings) -> Self {
        let way = || {
            let mut builder = Client::builder(TokioExecutor::new());
            builder
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_TIME)
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .http1_max_buf_size(READ_AHEAD as usize)
                .http2_initial_stream_window_size(READ_AHEAD)
                .http2_initial_connection_window_size(READ_AHEAD * CALLS as u32);
            let connector = dial::https(tls.clone(), &[b"h2", b"http/1.1"]);
            Way { client: builder.build(connector), calls: AtomicUsize::new(0) }
        };
        Self(std::iter::repeat_with(way).take(LANES).collect())
    }

    /// The first connection that is not full; the last one when all are.
    pub fn enter(&self) -> Lane<'_> {
        let last = &self.0[LANES - 1];
        let free = self.0[..LANES - 1].iter().find(|way| {
            let before = way.calls.fetch_add(1, Ordering::Relaxed);
            if before >= CALLS {
                way.calls.fetch_sub(1, Ordering::Relaxed);
            }
            before < CALLS
        });
        Lane(free.unwrap_or_else(|| {
            last.calls.fetch_add(1, Ordering::Relaxed);
            last
        }))
    }
}

impl Lane<'_> {
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        self.0.client.request(request).await
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a connection ended before there was an answer.
pub(super) fn was_cut(error: &Error) -> bool {
    let Some(error) = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>()) else {
        return false;
    };
    let cause = error.source();
    let stream = cause.and_then(|cause| cause.downcast_ref::<h2::Error>());
    let socket = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || socket.is_some_and(|error| {
            // The last one is the end of TLS without a farewell.
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            )
        })
        || stream.is_some_and(|error| {
            error.is_io() || error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM)
        })
}

#[cfg(test)]
mod tests;
