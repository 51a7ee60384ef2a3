//! Server-sent events for clients that only receive: `EventSource` of browsers.
//!
//! Source: row USSE-1 of the protocol.

use crate::net::{Body, RequestBody, read_body};
use crate::observability::Transport;
use crate::protocol;
use crate::reactor::{Reactor, Wire};
use crate::session::Origin;
use crate::transport::framing::Framing;
use crate::transport::query;
use crate::transport::streamed::{self, REQUEST_TIMEOUT};
use crate::transport::uni_http_stream::{Opening, Options, malformed};
use gyre_proto::client::ConnectRequest;
use http::{Method, Request, Response, StatusCode};

/// Answers with a connection, which begins with the connect request in the query or the body.
pub async fn accept(
    request: Request<RequestBody>,
    options: &Options,
    origin: Origin,
    reactor: &Reactor,
) -> Response<Body> {
    let version = request.version();
    let connect = match *request.method() {
        Method::GET => {
            let text = query::parameter(request.uri().query(), query::CONNECT);
            match text.filter(|text| !text.is_empty()) {
                Some(text) => protocol::connect_request(text.as_bytes()),
                None => Ok(ConnectRequest::default()),
            }
        }
        Method::POST => {
            match read_body(request.into_body(), options.max_request_body_size, REQUEST_TIMEOUT).await {
                Ok(body) => protocol::connect_request(&body),
                Err(error) => return streamed::unreadable(&error),
            }
        }
        _ => return streamed::empty(StatusCode::METHOD_NOT_ALLOWED),
    };
    let Ok(connect) = connect else { return malformed() };
    let wire = Wire { unidirectional: true, framing: Framing::Events, ..Wire::default() };
    Opening { name: Transport::UniSse, version, wire, origin, connect }.answer(options, reactor).await
}
