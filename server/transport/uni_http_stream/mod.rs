//! HTTP streaming for clients that only receive: a POST request whose response is lines of JSON.
//!
//! Source: rows UHS-1 and UHC-1 of the protocol.

mod refusals;

pub use refusals::{Refusals, UnusableStatus};

use crate::net::{Body, RequestBody, read_body};
use crate::observability::Transport;
use crate::protocol;
use crate::reactor::{Handshake, Reactor, Wire};
use crate::session::Origin;
use crate::transport::framing::Framing;
use crate::transport::streamed::{self, REQUEST_TIMEOUT};
use gyre_proto::client::ConnectRequest;
use http::{Method, Request, Response, StatusCode, Version};

/// What the configuration says about an endpoint for unidirectional streams.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most bytes of a connect request in the body.
    pub max_request_body_size: usize,
    /// Responses that stand for refused connects; none when those are told in the stream.
    pub refusals: Option<Refusals>,
}

/// Answers with a connection, which begins with the connect request in the body.
pub async fn accept(
    request: Request<RequestBody>,
    options: &Options,
    origin: Origin,
    reactor: &Reactor,
) -> Response<Body> {
    match *request.method() {
        Method::OPTIONS => return streamed::preflight(),
        Method::POST => {}
        _ => return streamed::empty(StatusCode::METHOD_NOT_ALLOWED),
    }
    let version = request.version();
    let body = match read_body(request.into_body(), options.max_request_body_size, REQUEST_TIMEOUT).await {
        Ok(body) => body,
        Err(error) => return streamed::unreadable(&error),
    };
    let Ok(connect) = protocol::connect_request(&body) else { return malformed() };
    let wire = Wire { unidirectional: true, framing: Framing::Lines, ..Wire::default() };
    Opening { name: Transport::UniHttpStream, version, wire, origin, connect }.answer(options, reactor).await
}

/// The answer to what is no connect request.
pub(super) fn malformed() -> Response<Body> {
    streamed::empty(StatusCode::BAD_REQUEST)
}

/// A connection that is asked for.
pub(super) struct Opening {
    pub(super) name: Transport,
    pub(super) version: Version,
    pub(super) wire: Wire,
    pub(super) origin: Origin,
    pub(super) connect: ConnectRequest,
}

impl Opening {
    /// Opens the connection and answers with it, or with what stands for its refusal.
    pub(super) async fn answer(self, options: &Options, reactor: &Reactor) -> Response<Body> {
        let mut handshake = Handshake {
            origin: self.origin,
            connect: Some(Box::new(self.connect)),
            ..Handshake::new(self.name, self.wire)
        };
        handshake.transport.keeps_errors = options.refusals.is_some();
        // Nothing more comes from the peer, so nothing goes into the other end.
        let (mut body, _) = reactor.accept_body(handshake);
        let Some(refusals) = &options.refusals else {
            return streamed::response(self.version, self.wire, None, body);
        };
        match body.next().await {
            Ok(Some(first)) => streamed::response(self.version, self.wire, Some(first), body),
            Ok(None) | Err(_) => refusals.response(body.close().as_ref()),
        }
    }
}
