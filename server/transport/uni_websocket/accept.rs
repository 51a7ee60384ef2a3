//! The opening handshake of a connection that only receives.
//!
//! Source: rows UWS-1 to UWS-6 of the protocol.

use crate::net::Body;
use crate::observability::Transport;
use crate::protocol;
use crate::reactor::{Handshake, Reactor, Wire};
use crate::session::Origin;
use crate::transport::query;
use crate::transport::websocket::accept::{self, Agreed, Refusal};
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Request, Response, StatusCode};
use std::sync::Arc;

/// What the configuration says about this endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Agree to permessage-deflate when the peer offers it.
    pub compression: bool,
    /// End connections with a close frame that the peer may answer; otherwise the TCP connection just ends.
    pub close_frame: bool,
    /// Say why a connection ends in a message too.
    pub disconnect_push: bool,
}

/// Answers a handshake and, once the answer is written, hands the socket to the reactor.
///
/// The connect request is in the query, or the first message. `origin_allowed` is what the origin check said.
pub fn accept<B>(
    request: Request<B>,
    options: Options,
    origin_allowed: bool,
    origin: Origin,
    reactor: Arc<Reactor>,
) -> Response<Body> {
    let text = query::parameter(request.uri().query(), query::CONNECT);
    // As upstream has it, `null` is no request here, so that one is waited for.
    let text = text.filter(|text| !matches!(text.trim(), "" | "null"));
    let connect = match text.map(|text| protocol::connect_request(text.as_bytes())).transpose() {
        Ok(connect) => connect.map(Box::new),
        Err(_) => return malformed(),
    };
    let deflate = accept::deflate_answer(request.headers()).filter(|_| options.compression);
    let wire = Wire { unidirectional: true, compression: deflate.is_some(), ..Wire::default() };
    let handshake = Handshake {
        origin,
        connect,
        close_frame: options.close_frame,
        disconnect_push: options.disconnect_push,
        ..Handshake::new(Transport::UniWebSocket, wire)
    };
    let agreed = Agreed { deflate, ..Agreed::default() };
    accept::upgrade(request, agreed, handshake, origin_allowed, reactor).unwrap_or_else(Refusal::response)
}

fn malformed() -> Response<Body> {
    let mut response = Response::new(Body::from("invalid connect request\n"));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
