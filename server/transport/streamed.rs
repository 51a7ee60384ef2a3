//! Responses whose bodies last as long as the connections in them.

use super::framing::Framing;
use crate::net::{Body, BodyError, retry_pause};
use crate::observability::Transport;
use crate::protocol::Encoding;
use crate::reactor::{BrokenOff, Handshake, Reactor, ResponseBody, Wire};
use crate::session::Origin;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, PRAGMA,
};
use http::{Response, StatusCode, Version};
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Time a peer may take for the body of the request that opens a connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// First bytes of a stream of events, so that the reader sees at once that it is open. An `EventSource` that only
/// receives comes back by itself when the stream ends, and is told after what pause: by default those of a node that
/// died would all come at the same moment.
///
/// Source: HTML Living Standard, "Server-sent events", field `retry`.
fn events_prelude(unidirectional: bool) -> Bytes {
    if !unidirectional {
        // There is an SDK, which has pauses of its own.
        return Bytes::from_static(b"\r\n");
    }
    format!("\r\nretry: {}\r\n\r\n", retry_pause().as_millis()).into()
}

/// The response that carries a connection; `first` is what was taken out of `body` already.
///
/// Its headers keep caches and proxies from holding the body back. Those that HTTP/2 forbids stand in HTTP/1 alone.
///
/// Source: row TRC-6 of the protocol.
pub fn response(version: Version, wire: Wire, first: Option<Bytes>, body: ResponseBody) -> Response<Body> {
    let prelude = (wire.framing == Framing::Events).then(|| events_prelude(wire.unidirectional));
    let body = StreamedBody { prelude, first, rest: body };
    let mut response = Response::new(Body::Streamed(tonic::body::Body::new(body)));
    let content_type = match (wire.framing, wire.encoding) {
        (Framing::Events, _) => "text/event-stream; charset=utf-8",
        (_, Encoding::Json) => "text/plain; charset=utf-8",
        (_, Encoding::Protobuf) => "application/octet-stream",
    };
    let headers = response.headers_mut();
    if version <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (CACHE_CONTROL, "private, no-cache, no-store, must-revalidate, max-age=0"),
        (PRAGMA, "no-cache"),
        // The name is upstream's, the header that was meant is `expires`.
        (HeaderName::from_static("expire"), "0"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Tells a browser that a page may send POST requests; for how many seconds it may remember that.
pub fn preflight() -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    response
}

/// The answer to a request whose body did not come.
pub fn unreadable(error: &BodyError) -> Response<Body> {
    empty(match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TimedOut(_) => StatusCode::REQUEST_TIMEOUT,
        BodyError::Connection(_) => StatusCode::BAD_REQUEST,
    })
}

/// How the body of a request is encoded, by the one content type that does not mean JSON.
pub fn encoding(headers: &HeaderMap) -> Encoding {
    match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(b"application/octet-stream") => Encoding::Protobuf,
        _ => Encoding::Json,
    }
}

/// Where a connection with emulation comes from.
#[derive(Debug)]
pub struct Caller {
    /// Version of HTTP of the request.
    pub version: Version,
    /// What the request says about the user.
    pub origin: Origin,
}

/// Opens a connection that begins with `commands` and gets further ones through the emulation endpoint; answers
/// with it.
pub fn emulated(
    name: Transport,
    wire: Wire,
    caller: Caller,
    commands: Bytes,
    reactor: &Reactor,
) -> Response<Body> {
    let mut handshake =
        Handshake { origin: caller.origin, early: Some(Vec::from(commands)), ..Handshake::new(name, wire) };
    handshake.transport.emulation = true;
    // The reactor finds the other end by the session.
    let (body, _) = reactor.accept_body(handshake);
    response(caller.version, wire, None, body)
}

struct StreamedBody {
    prelude: Option<Bytes>,
    first: Option<Bytes>,
    rest: ResponseBody,
}

impl http_body::Body for StreamedBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        match this.prelude.take().or_else(|| this.first.take()) {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Pin::new(&mut this.rest).poll_frame(context),
        }
    }
}
