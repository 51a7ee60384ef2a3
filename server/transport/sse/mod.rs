//! Server-sent events, as `EventSource` of browsers reads them. Further commands come through the emulation endpoint.
//!
//! Source: rows SSE-1 and SSE-2 of the protocol.

use crate::net::{Body, RequestBody, read_body};
use crate::observability::Transport;
use crate::reactor::{Reactor, Wire};
use crate::session::Origin;
use crate::transport::framing::Framing;
use crate::transport::query;
use crate::transport::streamed::{self, Caller, REQUEST_TIMEOUT};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

/// Answers with a connection, which begins with the commands in the query or the body; `limit` is how many bytes they
/// may have in the body.
pub async fn accept(
    request: Request<RequestBody>,
    limit: usize,
    origin: Origin,
    reactor: &Reactor,
) -> Response<Body> {
    let caller = Caller { version: request.version(), origin };
    let commands = match *request.method() {
        Method::GET => {
            let text = query::parameter(request.uri().query(), query::CONNECT);
            match text.filter(|text| !text.is_empty()) {
                Some(text) => Bytes::from(text),
                None => return streamed::empty(StatusCode::BAD_REQUEST),
            }
        }
        Method::POST => match read_body(request.into_body(), limit, REQUEST_TIMEOUT).await {
            Ok(commands) => commands,
            Err(error) => return streamed::unreadable(&error),
        },
        _ => return streamed::empty(StatusCode::METHOD_NOT_ALLOWED),
    };
    let wire = Wire { framing: Framing::Events, ..Wire::default() };
    streamed::emulated(Transport::Sse, wire, caller, commands, reactor)
}
