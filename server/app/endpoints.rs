//! The endpoints clients connect to, and what is checked before a connection begins.

mod emulated;
mod uni;

pub use emulated::EmulatedEndpoints;
pub use uni::UniEndpoints;

use super::callers::Callers;
use crate::api::{ConnectionEndpoints, Reply};
use crate::auth::OriginPolicy;
use crate::net::{Body, Peer, RequestBody, retry_after};
use crate::node::Node;
use crate::observability::{ConnectionLimitReached, Metrics};
use crate::reactor::Reactor;
use crate::session::Origin;
use crate::transport::websocket::accept::{self, Options};
use crate::transport::{grpc_stream, webtransport};
use arc_swap::ArcSwap;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER,
};
use http::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// Makes the page at `/`, anew for each visitor.
pub type FrontPage = Arc<dyn Fn() -> String + Send + Sync>;

/// The client transports of the external port.
pub struct Endpoints {
    /// Where connections go.
    pub reactor: Arc<Reactor>,
    /// Where commands of connections go that only receive.
    pub node: Arc<Node>,
    /// Path of the WebSocket endpoint; none when disabled.
    pub websocket: Option<String>,
    /// Path of the WebTransport endpoint and how it behaves; none when disabled.
    pub webtransport: Option<(String, webtransport::Options)>,
    /// The client protocol over gRPC; none when disabled.
    pub grpc_stream: Option<grpc_stream::Options>,
    /// Path where clients find out whether they may connect; none when disabled.
    pub init: Option<String>,
    /// The page at `/`; none unless this is a dev server.
    pub front_page: Option<FrontPage>,
    /// How the WebSocket endpoint behaves.
    pub websocket_options: Options,
    /// Transports whose clients receive over a response and send by separate requests.
    pub emulated: EmulatedEndpoints,
    /// Transports whose clients only receive.
    pub uni: UniEndpoints,
    /// Pages that may connect.
    pub origins: OriginPolicy,
    /// Header that names the user, set by a trusted proxy; empty for none.
    pub user_header: String,
    /// What connections keep of their requests.
    pub callers: ArcSwap<Callers>,
    /// How many connections there may be.
    pub gate: Gate,
    /// Where refusals are counted.
    pub metrics: Arc<Metrics>,
}

impl ConnectionEndpoints for Endpoints {
    fn names(&self) -> Vec<&'static str> {
        let named = [
            ("websocket", self.websocket.is_some()),
            ("webtransport", self.webtransport.is_some()),
            ("grpc_stream", self.grpc_stream.is_some()),
            ("init", self.init.is_some()),
        ];
        let named = named.into_iter().filter(|(_, here)| *here).map(|(name, _)| name);
        named.chain(self.emulated.names()).chain(self.uni.names()).collect()
    }

    fn handles(&self, path: &str) -> bool {
        self.websocket.as_deref() == Some(path)
            || self.webtransport_at(path).is_some()
            || self.init.as_deref() == Some(path)
            || (path == "/" && self.front_page.is_some())
            || self.emulated.at(path).is_some()
            || self.uni.at(path).is_some()
            || (self.grpc_stream.is_some() && path.starts_with(grpc_stream::SERVICE))
    }

    fn call(&self, request: Request<RequestBody>, _peer: Peer) -> Reply {
        if let Some(page) = self.front_page.as_ref().filter(|_| request.uri().path() == "/") {
            let mut response = Response::new(Body::from(page()));
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, html);
            return Box::pin(std::future::ready(response));
        }
        if let Some(options) =
            self.grpc_stream.filter(|_| request.uri().path().starts_with(grpc_stream::SERVICE))
        {
            return self.grpc_stream(request, options);
        }
        let emulated = self.emulated.at(request.uri().path());
        // The way back of a connection that is there already is no connection.
        if let Some(endpoint) = emulated.filter(|endpoint| !endpoint.connects()) {
            return self.emulated(endpoint, request);
        }
        let webtransport = self.webtransport_at(request.uri().path());
        let response = match (self.refuse(), webtransport) {
            (Some(refused), _) => refused,
            (None, Some(options)) => self.webtransport(request, options),
            (None, None) if self.websocket.as_deref() == Some(request.uri().path()) => {
                self.websocket(request)
            }
            (None, None) => match (emulated, self.uni.at(request.uri().path())) {
                (Some(endpoint), _) => return self.emulated(endpoint, request),
                (None, Some(endpoint)) => return self.uni(endpoint, request),
                (None, None) => self.init(&request),
            },
        };
        Box::pin(std::future::ready(response))
    }
}

impl Endpoints {
    /// Why a peer that comes now is not taken: there are enough, or it is too late.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        if self.node.is_leaving() {
            return Some("the node is shutting down");
        }
        let now = Instant::now();
        let limit = self.gate.admit(self.reactor.authenticated_connections(), now).err()?;
        ConnectionLimitReached { limit, now }.emit(&self.metrics);
        Some("connection limit reached")
    }

    /// The answer to such a peer, which says when to come back.
    fn refuse(&self) -> Option<Response<Body>> {
        self.refusal()?;
        let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, retry_after());
        Some(response)
    }

    /// Answers with nothing but whether connecting is possible, so that a page can try before it connects.
    fn init(&self, request: &Request<RequestBody>) -> Response<Body> {
        let mut response = match *request.method() {
            Method::GET => {
                let mut response = Response::new(Body::from("{}"));
                let json = HeaderValue::from_static("application/json; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        };
        self.allow_origin(request, response.headers_mut());
        response
    }

    /// Lets pages of allowed origins read the answer.
    pub(super) fn allow_origin(&self, request: &Request<RequestBody>, headers: &mut HeaderMap) {
        let origin = request.headers().get(ORIGIN);
        if !self.origins.allows(origin.and_then(|origin| origin.to_str().ok())) {
            return;
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.cloned().unwrap_or(HeaderValue::from_static("")));
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if let Some(wanted) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }

    fn websocket(&self, request: Request<RequestBody>) -> Response<Body> {
        let (allowed, origin) = (self.allows_origin(&request), self.origin_of(request.headers()));
        accept::accept(request, self.websocket_options, allowed, origin, self.reactor.clone())
    }

    fn webtransport_at(&self, path: &str) -> Option<webtransport::Options> {
        self.webtransport.as_ref().filter(|(own, _)| own == path).map(|(_, options)| *options)
    }

    fn webtransport(&self, request: Request<RequestBody>, options: webtransport::Options) -> Response<Body> {
        let (allowed, origin) = (self.allows_origin(&request), self.origin_of(request.headers()));
        let mut permissions = HeaderMap::new();
        self.allow_origin(&request, &mut permissions);
        let mut response = webtransport::accept(request, options, allowed, origin, self.reactor.clone());
        response.headers_mut().extend(permissions);
        response
    }

    /// Whether the page a request comes from may connect.
    fn allows_origin(&self, request: &Request<RequestBody>) -> bool {
        self.origins.allows(request.headers().get(ORIGIN).and_then(|origin| origin.to_str().ok()))
    }

    /// What a call says about its user. The port of `uni_grpc` has no user header.
    pub(super) fn origin_of_call(&self, metadata: &HeaderMap) -> Origin {
        Origin { caller: self.callers.load().of_call(metadata), ..Origin::default() }
    }

    /// What a request on the main port says about its user.
    pub(super) fn origin_of(&self, headers: &HeaderMap) -> Origin {
        let user = match self.user_header.as_str() {
            "" => None,
            name => headers.get(name).and_then(|value| value.to_str().ok()),
        };
        let caller = self.callers.load().of_request(headers);
        Origin { header_user: user.unwrap_or_default().to_owned(), caller }
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Limits on new connections.
pub struct Gate {
    /// Connections there may be; zero means no limit.
    connections: u64,
    /// New connections there may be in a second; zero means no limit.
    rate: f64,
    tokens: Mutex<(f64, Instant)>,
}

impl Gate {
    /// Makes a gate that has admitted nobody yet.
    pub fn new(connections: u64, rate: u64, now: Instant) -> Self {
        Self { connections, rate: rate as f64, tokens: Mutex::new((rate as f64, now)) }
    }

    /// Admits a connection, or says which limit it would break.
    fn admit(&self, open: u64, now: Instant) -> Result<(), u64> {
        if self.connections > 0 && open >= self.connections {
            return Err(self.connections);
        }
        if self.rate > 0.0 && !self.take_token(now) {
            return Err(self.rate as u64);
        }
        Ok(())
    }

    fn take_token(&self, now: Instant) -> bool {
        let mut tokens = self.tokens.lock();
        let (left, since) = *tokens;
        let left = (left + now.duration_since(since).as_secs_f64() * self.rate).min(self.rate);
        let admitted = left >= 1.0;
        *tokens = (if admitted { left - 1.0 } else { left }, now);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_rate_is_per_second_with_a_burst_of_one_second() {
        let start = Instant::now();
        let gate = Gate::new(0, 10, start);
        assert_eq!((0..20).filter(|_| gate.take_token(start)).count(), 10);
        assert_eq!((0..20).filter(|_| gate.take_token(start + Duration::from_millis(500))).count(), 5);
        assert_eq!((0..20).filter(|_| gate.take_token(start + Duration::from_secs(60))).count(), 10);
    }

    #[test]
    fn open_connections_are_limited() {
        let gate = Gate::new(2, 0, Instant::now());
        assert!(gate.admit(1, Instant::now()).is_ok());
        assert!(gate.admit(2, Instant::now()).is_err());
    }
}
