//! HTTP streaming: a POST request with commands, whose response is the connection. Further commands come through the
//! emulation endpoint.
//!
//! Source: rows HS-1 to HS-5 of the protocol.

use crate::net::{Body, RequestBody, read_body};
use crate::observability::Transport;
use crate::reactor::{Reactor, Wire};
use crate::session::Origin;
use crate::transport::framing::Framing;
use crate::transport::streamed::{self, Caller, REQUEST_TIMEOUT};
use http::{Method, Request, Response, StatusCode};

/// Answers with a connection, which begins with the commands in the body; `limit` is how many bytes they may have.
pub async fn accept(
    request: Request<RequestBody>,
    limit: usize,
    origin: Origin,
    reactor: &Reactor,
) -> Response<Body> {
    match *request.method() {
        Method::OPTIONS => return streamed::preflight(),
        Method::POST => {}
        _ => return streamed::empty(StatusCode::METHOD_NOT_ALLOWED),
    }
    let caller = Caller { version: request.version(), origin };
    let wire =
        Wire { encoding: streamed::encoding(request.headers()), framing: Framing::Lines, ..Wire::default() };
    match read_body(request.into_body(), limit, REQUEST_TIMEOUT).await {
        Ok(commands) => streamed::emulated(Transport::HttpStream, wire, caller, commands, reactor),
        Err(error) => streamed::unreadable(&error),
    }
}
