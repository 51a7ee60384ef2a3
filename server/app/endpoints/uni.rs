//! Endpoints of the transports whose clients only receive.

use super::Endpoints;
use crate::api::{Reply, route_path};
use crate::config::{Config, sections};
use crate::net::RequestBody;
use crate::transport::uni_http_stream::{self, Refusals, UnusableStatus};
use crate::transport::{uni_sse, uni_websocket};
use http::{HeaderMap, Request};
use std::sync::Arc;

/// Where they are and how they behave; none of a kind when it is off.
#[derive(Default)]
pub struct UniEndpoints {
    websocket: Option<(String, uni_websocket::accept::Options)>,
    sse: Option<(String, Arc<uni_http_stream::Options>)>,
    http_stream: Option<(String, Arc<uni_http_stream::Options>)>,
}

/// One of the endpoints.
pub(super) enum UniEndpoint {
    WebSocket(uni_websocket::accept::Options),
    Stream(Form, Arc<uni_http_stream::Options>),
}

/// How a streamed response is written.
pub(super) enum Form {
    Events,
    Lines,
}

impl UniEndpoints {
    /// The endpoints that are switched on.
    ///
    /// # Errors
    /// When a response of a table cannot be sent.
    pub fn new(config: &Config) -> Result<Self, UnusableStatus> {
        let (websocket, sse, stream) = (&config.uni_websocket, &config.uni_sse, &config.uni_http_stream);
        let streamed = |path: &str, limit: usize, table| -> Result<_, UnusableStatus> {
            let options =
                uni_http_stream::Options { max_request_body_size: limit, refusals: refusals(table)? };
            Ok((route_path(path), Arc::new(options)))
        };
        let websocket_options = uni_websocket::accept::Options {
            compression: websocket.frames.compression,
            close_frame: !websocket.disable_closing_handshake,
            disconnect_push: !websocket.disable_disconnect_push,
        };
        let (sse_table, stream_table) =
            (&sse.connect_code_to_http_response, &stream.connect_code_to_http_response);
        Ok(Self {
            websocket: websocket.enabled.then(|| (route_path(&websocket.handler_prefix), websocket_options)),
            sse: sse
                .enabled
                .then(|| streamed(&sse.handler_prefix, sse.max_request_body_size, sse_table))
                .transpose()?,
            http_stream: stream
                .enabled
                .then(|| streamed(&stream.handler_prefix, stream.max_request_body_size, stream_table))
                .transpose()?,
        })
    }

    /// Names of those that are on.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let named = [
            ("uni_websocket", self.websocket.is_some()),
            ("uni_sse", self.sse.is_some()),
            ("uni_http_stream", self.http_stream.is_some()),
        ];
        named.into_iter().filter_map(|(name, is_on)| is_on.then_some(name))
    }

    /// The endpoint at a path.
    pub(super) fn at(&self, path: &str) -> Option<UniEndpoint> {
        if let Some((_, options)) = self.websocket.as_ref().filter(|(own, _)| own == path) {
            return Some(UniEndpoint::WebSocket(*options));
        }
        if let Some((_, options)) = self.sse.as_ref().filter(|(own, _)| own == path) {
            return Some(UniEndpoint::Stream(Form::Events, options.clone()));
        }
        let (_, options) = self.http_stream.as_ref().filter(|(own, _)| own == path)?;
        Some(UniEndpoint::Stream(Form::Lines, options.clone()))
    }
}

fn refusals(table: &sections::transports::ConnectCodeToResponse) -> Result<Option<Refusals>, UnusableStatus> {
    if !table.enabled {
        return Ok(None);
    }
    let mut refusals = Refusals::default();
    for transform in &table.transforms {
        refusals.add(transform.code, transform.to.status_code, &transform.to.body)?;
    }
    Ok(Some(refusals))
}

impl Endpoints {
    /// Answers a request for one of these endpoints.
    pub(super) fn uni(&self, endpoint: UniEndpoint, request: Request<RequestBody>) -> Reply {
        let origin = self.origin_of(request.headers());
        let reactor = self.reactor.clone();
        let (form, options) = match endpoint {
            UniEndpoint::WebSocket(options) => {
                let allowed = self.allows_origin(&request);
                let response = uni_websocket::accept::accept(request, options, allowed, origin, reactor);
                return Box::pin(std::future::ready(response));
            }
            UniEndpoint::Stream(form, options) => (form, options),
        };
        let mut permissions = HeaderMap::new();
        self.allow_origin(&request, &mut permissions);
        Box::pin(async move {
            let mut response = match form {
                Form::Events => uni_sse::accept(request, &options, origin, &reactor).await,
                Form::Lines => uni_http_stream::accept(request, &options, origin, &reactor).await,
            };
            response.headers_mut().extend(permissions);
            response
        })
    }
}
