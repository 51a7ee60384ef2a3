//! Short HTTP responses.

use crate::net::Body;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// A status and nothing else.
pub fn empty(status: StatusCode) -> Response<Body> {
    with_headers(status, [], Body::empty())
}

/// A status and its name as text.
pub fn text(status: StatusCode) -> Response<Body> {
    let name = status.canonical_reason().unwrap_or_default();
    with_headers(
        status,
        [(CONTENT_TYPE, TEXT), (X_CONTENT_TYPE_OPTIONS, NO_SNIFF)],
        format!("{name}\n").into(),
    )
}

/// No such path.
pub fn not_found() -> Response<Body> {
    let headers = [(CONTENT_TYPE, TEXT), (X_CONTENT_TYPE_OPTIONS, NO_SNIFF)];
    with_headers(StatusCode::NOT_FOUND, headers, "404 page not found\n".into())
}

/// JSON.
pub fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    with_headers(status, [(CONTENT_TYPE, JSON)], body.into())
}

/// Something of a given type.
pub fn page(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static(content_type)), (X_CONTENT_TYPE_OPTIONS, NO_SNIFF)];
    with_headers(StatusCode::OK, headers, body.into())
}

/// The path has moved; `None` when it cannot stand in a header.
pub fn moved(to: &str) -> Option<Response<Body>> {
    let location = HeaderValue::from_str(to).ok()?;
    Some(with_headers(StatusCode::MOVED_PERMANENTLY, [(LOCATION, location)], Body::empty()))
}

fn with_headers<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, HeaderValue); N],
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, value);
    }
    response
}
