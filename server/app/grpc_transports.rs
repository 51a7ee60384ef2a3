//! The client transports over gRPC: who may call, and which stream is meant.

use super::endpoints::Endpoints;
use crate::api::{ConnectionEndpoints, Reply};
use crate::net::{Body, GrpcKind, Peer, RequestBody, grpc_call, retry_pause};
use crate::session::Origin;
use crate::transport::{grpc_stream, uni_grpc};
use http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap,
    HeaderValue, ORIGIN,
};
use http::{Method, Request, Response, StatusCode};
use std::future::ready;
use std::sync::Arc;
use tonic::body::Body as GrpcBody;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// What scripts of pages may read besides the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("grpc-status, grpc-message");
/// Milliseconds after which clients with a retry policy try again.
///
/// Source: gRPC proposal A6, "Pushback".
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// Seconds for which a browser need not ask again.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The port of `uni_grpc`.
pub struct UniGrpcPort {
    /// Limits and origins, which all transports share.
    pub endpoints: Arc<Endpoints>,
    /// How the transport behaves.
    pub options: uni_grpc::Options,
}

impl ConnectionEndpoints for UniGrpcPort {
    fn names(&self) -> Vec<&'static str> {
        vec!["uni_grpc"]
    }

    /// Everything, so that calls of unknown methods are answered in the words of gRPC.
    fn handles(&self, _: &str) -> bool {
        true
    }

    fn call(&self, request: Request<RequestBody>, _peer: Peer) -> Reply {
        let (reactor, options) = (self.endpoints.reactor.clone(), self.options);
        // The user header is not trusted here: the proxy that sets it stands before the main port.
        let origin = self.endpoints.origin_of_call(request.headers());
        self.endpoints.grpc(request, move |request, _| {
            let (reactor, origin) = (reactor.clone(), origin.clone());
            async move {
                match request.uri().path() {
                    uni_grpc::CONSUME => uni_grpc::consume(request, options, origin, &reactor).await,
                    path => unknown(path),
                }
            }
        })
    }
}

impl Endpoints {
    /// Answers a call of `gyre.realtime.v1.Realtime`.
    pub(super) fn grpc_stream(&self, request: Request<RequestBody>, options: grpc_stream::Options) -> Reply {
        let reactor = self.reactor.clone();
        let header_user = self.origin_of(request.headers()).header_user;
        let origin = Origin { header_user, ..self.origin_of_call(request.headers()) };
        self.grpc(request, move |request, kind| {
            let (reactor, origin) = (reactor.clone(), origin.clone());
            async move {
                match (request.uri().path(), kind) {
                    (grpc_stream::CONNECT, GrpcKind::Native) => {
                        grpc_stream::connect(request, options, origin, &reactor)
                    }
                    (grpc_stream::CONNECT, GrpcKind::Web) => {
                        Status::unimplemented("gRPC-Web has no streams of requests; Consume needs none")
                            .into_http()
                    }
                    (grpc_stream::CONSUME, _) => {
                        grpc_stream::consume(request, options, origin, &reactor).await
                    }
                    (path, _) => unknown(path),
                }
            }
        })
    }

    /// Checks who calls and hands the call to `serve`.
    fn grpc<S, F>(&self, request: Request<RequestBody>, serve: S) -> Reply
    where
        S: Fn(Request<GrpcBody>, GrpcKind) -> F + Send + Sync + 'static,
        F: Future<Output = Response<GrpcBody>> + Send,
    {
        let mut headers = HeaderMap::new();
        self.allow_origin(&request, &mut headers);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if request.method() == Method::OPTIONS {
            headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
            return Box::pin(ready(with_headers(status(StatusCode::NO_CONTENT), headers)));
        }
        let Some(kind) = GrpcKind::of(request.headers()) else {
            return Box::pin(ready(status(StatusCode::UNSUPPORTED_MEDIA_TYPE)));
        };
        if *request.method() != Method::POST {
            return Box::pin(ready(status(StatusCode::METHOD_NOT_ALLOWED)));
        }
        let refused = self.refuse_call(request.headers());
        Box::pin(async move {
            let response = grpc_call(request, kind, |request| {
                let reply = match &refused {
                    Some(refused) => Err(refused.clone().into_http()),
                    None => Ok(serve(request, kind)),
                };
                async {
                    match reply {
                        Ok(reply) => reply.await,
                        Err(refused) => refused,
                    }
                }
            });
            let response = response.await;
            if kind == GrpcKind::Web { with_headers(response, headers) } else { response }
        })
    }

    /// Why a call is not taken: there are enough connections, or a page calls that may not.
    fn refuse_call(&self, headers: &HeaderMap) -> Option<Status> {
        if let Some(reason) = self.refusal() {
            let mut metadata = MetadataMap::new();
            let pause = u64::try_from(retry_pause().as_millis()).unwrap_or(u64::MAX);
            metadata.insert(PUSHBACK, MetadataValue::from(pause));
            return Some(Status::with_metadata(Code::Unavailable, reason, metadata));
        }
        let origin = headers.get(ORIGIN);
        // An origin that is no text is some page's, and none that was allowed.
        let origin = origin.map(|origin| origin.to_str().unwrap_or("null"));
        (!self.origins.allows(origin)).then(|| Status::permission_denied("origin is not allowed"))
    }
}

fn unknown(path: &str) -> Response<GrpcBody> {
    Status::unimplemented(format!("unknown method {path}")).into_http()
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn with_headers(mut response: Response<Body>, headers: HeaderMap) -> Response<Body> {
    response.headers_mut().extend(headers);
    response
}
