//! Endpoints of the transports whose clients receive over a response and send by separate requests.

use super::Endpoints;
use crate::api::{Reply, route_path};
use crate::config::Config;
use crate::net::RequestBody;
use crate::transport::{emulation, http_stream, sse};
use http::{HeaderMap, Request};

/// Where they are, and how many bytes a request may have; none of a kind when it is off.
#[derive(Default)]
pub struct EmulatedEndpoints {
    http_stream: Option<(String, usize)>,
    sse: Option<(String, usize)>,
    emulation: Option<(String, usize)>,
}

/// One of the endpoints, with its limit.
#[derive(Clone, Copy)]
pub(super) enum EmulatedEndpoint {
    HttpStream(usize),
    Sse(usize),
    Emulation(usize),
}

impl EmulatedEndpoints {
    /// The endpoints that are switched on.
    pub fn new(config: &Config) -> Self {
        let (stream, sse, emulation) = (&config.http_stream, &config.sse, &config.emulation);
        let endpoint = |enabled: bool, prefix: &str, limit| enabled.then(|| (route_path(prefix), limit));
        Self {
            http_stream: endpoint(stream.enabled, &stream.handler_prefix, stream.max_request_body_size),
            sse: endpoint(sse.enabled, &sse.handler_prefix, sse.max_request_body_size),
            emulation: endpoint(
                stream.enabled || sse.enabled,
                &emulation.handler_prefix,
                emulation.max_request_body_size,
            ),
        }
    }

    /// Names of those that are on.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let named = [
            ("http_stream", self.http_stream.is_some()),
            ("sse", self.sse.is_some()),
            ("emulation", self.emulation.is_some()),
        ];
        named.into_iter().filter_map(|(name, is_on)| is_on.then_some(name))
    }

    /// The endpoint at a path.
    pub(super) fn at(&self, path: &str) -> Option<EmulatedEndpoint> {
        let kinds = [
            (&self.http_stream, EmulatedEndpoint::HttpStream as fn(usize) -> EmulatedEndpoint),
            (&self.sse, EmulatedEndpoint::Sse),
            (&self.emulation, EmulatedEndpoint::Emulation),
        ];
        kinds.into_iter().find_map(|(endpoint, kind)| {
            endpoint.as_ref().filter(|(own, _)| own == path).map(|(_, limit)| kind(*limit))
        })
    }
}

impl EmulatedEndpoint {
    /// Whether a request there opens a connection.
    pub(super) fn connects(self) -> bool {
        !matches!(self, Self::Emulation(_))
    }
}

impl Endpoints {
    /// Answers a request for one of these endpoints.
    pub(super) fn emulated(&self, endpoint: EmulatedEndpoint, request: Request<RequestBody>) -> Reply {
        let origin = self.origin_of(request.headers());
        let (reactor, node) = (self.reactor.clone(), self.node.clone());
        let mut permissions = HeaderMap::new();
        self.allow_origin(&request, &mut permissions);
        Box::pin(async move {
            let mut response = match endpoint {
                EmulatedEndpoint::HttpStream(limit) => {
                    http_stream::accept(request, limit, origin, &reactor).await
                }
                EmulatedEndpoint::Sse(limit) => sse::accept(request, limit, origin, &reactor).await,
                EmulatedEndpoint::Emulation(limit) => emulation::accept(request, limit, &node).await,
            };
            response.headers_mut().extend(permissions);
            response
        })
    }
}
