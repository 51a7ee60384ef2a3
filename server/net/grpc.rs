//! Calls of gRPC and gRPC-Web as HTTP requests: telling them apart, and turning the one into the other.
//!
//! Source: «gRPC over HTTP2» and «gRPC Web» of the gRPC project.

use super::{Body, RequestBody};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use std::convert::Infallible;
use tonic::body::Body as GrpcBody;
use tonic_web::GrpcWebLayer;
use tower::{Layer, service_fn};
use tower_service::Service as _;

/// How a call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcKind {
    /// Over HTTP/2, with trailers.
    Native,
    /// As a browser sends it: trailers are the last frame of the body, which may be base64 text.
    Web,
}

impl GrpcKind {
    /// What the headers of a request say; `None` when it is no call.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.as_bytes();
        let rest = content_type.strip_prefix(b"application/grpc")?;
        match rest.strip_prefix(b"-web") {
            Some(_) => Some(Self::Web),
            None => Some(Self::Native),
        }
    }
}

/// Answers a call with `handler`, which sees native calls only.
pub async fn grpc_call<H, F>(request: Request<RequestBody>, kind: GrpcKind, handler: H) -> Response<Body>
where
    H: Fn(Request<GrpcBody>) -> F,
    F: Future<Output = Response<GrpcBody>>,
{
    let request = request.map(GrpcBody::new);
    let response = match kind {
        GrpcKind::Native => handler(request).await,
        GrpcKind::Web => {
            let service = service_fn(|request| {
                let reply = handler(request);
                async { Ok::<_, Infallible>(reply.await) }
            });
            let translated = GrpcWebLayer::new().layer(service).call(request).await;
            translated.unwrap_or_else(|never| match never {})
        }
    };
    response.map(Body::Streamed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderValue;

    #[test]
    fn calls_are_told_by_their_content_type() {
        for (content_type, kind) in [
            ("application/grpc", Some(GrpcKind::Native)),
            ("application/grpc+proto", Some(GrpcKind::Native)),
            ("application/grpc-web", Some(GrpcKind::Web)),
            ("application/grpc-web-text+proto", Some(GrpcKind::Web)),
            ("application/json", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(GrpcKind::of(&headers), kind, "{content_type}");
        }
        assert_eq!(GrpcKind::of(&HeaderMap::new()), None);
    }
}
