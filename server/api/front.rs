//! What a port serves: finds out whom a request is for and hands it over. There is no middleware:
//! a publish over HTTP goes from here straight to the API.

use super::explorer::Explorer;
use super::grpc::GrpcFront;
use super::http::{ApiRoute, HttpApi};
use super::reply;
use crate::net::{Body, Peer, RequestBody, client_address};
use crate::node::Node;
use crate::observability::METRICS_CONTENT_TYPE;
use http::header::{ALT_SVC, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A response that is on its way.
pub type Reply = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The endpoints that clients connect to, fulfilled by the transports.
pub trait ConnectionEndpoints: Send + Sync + 'static {
    /// Names for the start-up log, in upstream's words, for example `websocket`.
    fn names(&self) -> Vec<&'static str>;
    /// Whether `path` is one of theirs. Called for most requests, so it must be cheap.
    fn handles(&self, path: &str) -> bool;
    /// Answers a request for such a path. The connection can be upgraded.
    fn call(&self, request: Request<RequestBody>, peer: Peer) -> Reply;
}

/// Where load balancers ask whether publications reach this node; served with `/health`.
const READY: &str = "/ready";

/// What one port serves; `None` means not here.
pub struct Port {
    /// The node, for health and metrics.
    pub node: Arc<Node>,
    /// Client transports.
    pub connections: Option<Arc<dyn ConnectionEndpoints>>,
    /// Server API over HTTP.
    pub api: Option<Arc<HttpApi>>,
    /// Server API over gRPC and gRPC-Web.
    pub grpc: Option<GrpcFront>,
    /// Path of `/health`; with it comes `/ready`.
    pub health: Option<String>,
    /// Path of `/metrics`.
    pub metrics: Option<String>,
    /// Page to try the API.
    pub explorer: Option<Explorer>,
    /// Where else requests are served, told in responses over TCP: HTTP/3 at this port.
    pub alt_svc: Option<HeaderValue>,
    /// Count requests by path, method and status (`prometheus.instrument_http_handlers`).
    pub count_requests: bool,
}

/// Gives a configured path the form in which it is matched: without slashes at the end, `/` if nothing is left.
pub fn route_path(prefix: &str) -> String {
    match prefix.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}

/// Makes the services of connections to `port`, for [`crate::net::serve`].
pub fn http_service(port: Arc<Port>) -> impl Fn(Peer) -> PortService + Send + Sync + 'static {
    move |peer| PortService { port: Arc::clone(&port), peer }
}

/// Serves one connection.
pub struct PortService {
    port: Arc<Port>,
    peer: Peer,
}

/// Whom a request is for.
enum Route<'p> {
    Api(&'p Arc<HttpApi>, ApiRoute),
    Connection(&'p Arc<dyn ConnectionEndpoints>),
    Grpc(&'p GrpcFront),
    Health,
    Ready,
    Metrics,
    Explorer(&'p Explorer),
    Nobody,
}

impl Port {
    /// Names of what is served, for the start-up log.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names = self.connections.as_ref().map(|endpoints| endpoints.names()).unwrap_or_default();
        for (name, here) in [
            ("api", self.api.is_some()),
            ("grpc_api", self.grpc.is_some()),
            ("prometheus", self.metrics.is_some()),
            ("health", self.health.is_some()),
            ("swagger", self.explorer.is_some()),
        ] {
            if here {
                names.push(name);
            }
        }
        names
    }

    fn route(&self, request: &Request<RequestBody>) -> Route<'_> {
        let path = request.uri().path();
        if let Some(api) = &self.api
            && let Some(route) = api.route(path)
        {
            return Route::Api(api, route);
        }
        if let Some(endpoints) = &self.connections
            && endpoints.handles(path)
        {
            return Route::Connection(endpoints);
        }
        if let Some(grpc) = &self.grpc
            && GrpcFront::handles(request.headers())
        {
            return Route::Grpc(grpc);
        }
        if self.health.as_deref() == Some(path) {
            return Route::Health;
        }
        if path == READY && self.health.is_some() {
            return Route::Ready;
        }
        if self.metrics.as_deref() == Some(path) {
            return Route::Metrics;
        }
        match &self.explorer {
            Some(explorer) if explorer.handles(path) => Route::Explorer(explorer),
            _ => Route::Nobody,
        }
    }

    fn answer(&self, request: Request<RequestBody>, peer: Peer) -> Reply {
        match self.route(&request) {
            Route::Api(api, route) => Box::pin(Arc::clone(api).call(route, request)),
            Route::Connection(endpoints) => endpoints.call(request, peer),
            Route::Grpc(grpc) => Box::pin(grpc.clone().call(request)),
            Route::Health => ready(reply::json(StatusCode::OK, "{}")),
            Route::Ready => ready(match self.node.trouble() {
                None => reply::json(StatusCode::OK, "{}"),
                Some(reason) => {
                    let body = serde_json::json!({"reason": reason}).to_string();
                    reply::json(StatusCode::SERVICE_UNAVAILABLE, body)
                }
            }),
            Route::Metrics => {
                let now = self.node.clock().now().instant;
                ready(reply::page(METRICS_CONTENT_TYPE, self.node.metrics().render(self.node.gauges(), now)))
            }
            Route::Explorer(explorer) => ready(explorer.answer(request.uri().path())),
            Route::Nobody => ready(reply::not_found()),
        }
    }

    /// The label of a route in metrics. Peers cannot make new ones.
    fn label(&self, request: &Request<RequestBody>) -> Cow<'static, str> {
        match self.route(request) {
            Route::Api(..) | Route::Connection(_) | Route::Health | Route::Ready | Route::Metrics => {
                request.uri().path().to_owned().into()
            }
            Route::Explorer(explorer) => explorer.prefix().to_owned().into(),
            Route::Grpc(_) => "grpc".into(),
            Route::Nobody => "other".into(),
        }
    }
}

fn ready(response: Response<Body>) -> Reply {
    Box::pin(std::future::ready(response))
}

impl hyper::service::Service<Request<RequestBody>> for PortService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Infallibly;

    fn call(&self, request: Request<RequestBody>) -> Infallibly {
        if let Some(alt_svc) = self.port.alt_svc.clone().filter(|_| request.version() < Version::HTTP_3) {
            let reply = self.reply(request);
            return Infallibly(Box::pin(async move {
                let mut response = reply.await;
                response.headers_mut().insert(ALT_SVC, alt_svc);
                response
            }));
        }
        Infallibly(self.reply(request))
    }
}

impl PortService {
    fn reply(&self, request: Request<RequestBody>) -> Reply {
        if self.port.count_requests || tracing::enabled!(tracing::Level::DEBUG) {
            return observed(Arc::clone(&self.port), request, self.peer);
        }
        self.port.answer(request, self.peer)
    }
}

/// A reply in the form that hyper wants, without a second box.
pub struct Infallibly(Reply);

impl Future for Infallibly {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

/// Answers a request, counts it and tells it at debug level.
fn observed(port: Arc<Port>, request: Request<RequestBody>, peer: Peer) -> Reply {
    let started = port.node.clock().now().instant;
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let label = port.label(&request);
    let address = client_address(request.headers(), peer.address).into_owned();
    let reply = port.answer(request, peer);
    Box::pin(async move {
        let response = reply.await;
        let status = response.status();
        if port.count_requests {
            port.node.metrics().http_request(&label, &method, status);
        }
        let duration = port.node.clock().now().instant.saturating_duration_since(started);
        let (method, status) = (method.as_str(), status.as_u16());
        tracing::debug!(method, status, path, addr = address, ?duration, "http request");
        response
    })
}
