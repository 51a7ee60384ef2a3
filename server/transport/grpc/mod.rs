//! What the transports over gRPC share: messages of a request, and how a stream ends.
//!
//! Requests are read with tonic. Responses are not written with it: a stream's body is what the reactor made, whose
//! messages are encoded and framed once for all streams that get them.

pub mod messages;
pub mod pushes;
pub mod status;

use crate::reactor::{ResponseBody, Trailers};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use tonic::body::Body as GrpcBody;

/// What messages of ours may be compressed with, for peers that compress theirs.
pub(crate) const ACCEPTED_ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip");

/// A successful start of a stream that ends with `trailers`.
pub fn stream(body: ResponseBody, trailers: Trailers) -> Response<GrpcBody> {
    let mut response = Response::new(GrpcBody::new(body.with_trailers(trailers)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", ACCEPTED_ENCODINGS);
    response
}

/// Values of metadata, under the names that HTTP gives headers.
pub fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
