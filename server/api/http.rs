//! The server API over HTTP with JSON, and its legacy form.

use super::access::Access;
use super::reply;
use super::service::Service;
use crate::net::{Body, BodyError, RequestBody, read_body};
use crate::observability::{ApiProtocol, ApiRequestUnreadable};
use bytes::Bytes;
use gyre_proto::json::JsonEncode;
use gyre_proto::legacy;
use gyre_proto::service::{ApiMethod, ApiService, CallError, call_json, http_status};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a caller may take for a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How the HTTP API behaves.
#[derive(Clone, Debug)]
pub struct HttpApiSettings {
    /// `http_api.handler_prefix`; trailing slashes do not count, the empty prefix is `/`.
    pub prefix: String,
    /// Who may call.
    pub access: Access,
    /// `http_api.error_mode: transport`: errors are HTTP statuses for all callers.
    pub transport_errors: bool,
    /// Most bytes of a request body; larger ones are answered with 413. Upstream has no limit.
    pub body_limit: usize,
}

/// The server API over HTTP.
pub struct HttpApi {
    settings: HttpApiSettings,
    service: Arc<Service>,
    /// Set once, when the node begins to stop.
    stopping: AtomicBool,
}

/// What a path under the prefix stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiRoute {
    /// One method.
    Method(ApiMethod),
    /// Concatenated commands that name their methods.
    Legacy,
}

impl HttpApi {
    /// Serves `service`.
    pub fn new(mut settings: HttpApiSettings, service: Arc<Service>) -> Self {
        let length = settings.prefix.trim_end_matches('/').len();
        settings.prefix.truncate(length);
        Self { settings, service, stopping: AtomicBool::new(false) }
    }

    /// From now on legacy requests are answered with 503, so that callers go to another node.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Finds what `path` stands for; methods that do not exist stand for nothing.
    pub fn route(&self, path: &str) -> Option<ApiRoute> {
        let rest = path.strip_prefix(&*self.settings.prefix)?;
        match rest.strip_prefix('/') {
            Some("") if self.settings.prefix.is_empty() => Some(ApiRoute::Legacy),
            Some(name) => {
                let method = ApiMethod::from_name(name)?;
                self.service.supports(method).then_some(ApiRoute::Method(method))
            }
            None => (rest.is_empty() && !path.is_empty()).then_some(ApiRoute::Legacy),
        }
    }

    /// Answers a request.
    pub async fn call(self: Arc<Self>, route: ApiRoute, request: Request<RequestBody>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return reply::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !self.settings.access.allows_http(&head.headers, head.uri.query()) {
            return reply::empty(StatusCode::UNAUTHORIZED);
        }
        if route == ApiRoute::Legacy && self.stopping.load(Ordering::Relaxed) {
            return reply::empty(StatusCode::SERVICE_UNAVAILABLE);
        }
        let body = match read_body(body, self.settings.body_limit, BODY_TIMEOUT).await {
            Ok(body) => body,
            Err(error) => {
                self.unreadable(route, "read_body");
                return reply::text(match error {
                    BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    BodyError::TimedOut(_) => StatusCode::REQUEST_TIMEOUT,
                    BodyError::Connection(_) => StatusCode::INTERNAL_SERVER_ERROR,
                });
            }
        };
        match route {
            ApiRoute::Method(method) => self.method(method, &head.headers, &body).await,
            ApiRoute::Legacy => self.legacy(&body).await,
        }
    }

    async fn method(&self, method: ApiMethod, headers: &HeaderMap, body: &Bytes) -> Response<Body> {
        let mut out = Vec::with_capacity(256);
        match call_json(&*self.service, method, body, &mut out).await {
            Ok(outcome) => match outcome.error {
                Some(error) if self.wants_transport_errors(headers) => {
                    let status = StatusCode::from_u16(http_status(&error));
                    reply::json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_json())
                }
                _ => reply::json(StatusCode::OK, out),
            },
            Err(CallError::Request(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "API request is malformed");
                self.unreadable(ApiRoute::Method(method), "unmarshal");
                reply::text(StatusCode::BAD_REQUEST)
            }
            Err(CallError::Response(_)) => {
                self.unreadable(ApiRoute::Method(method), "marshal");
                reply::text(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Runs concatenated commands. Those before a malformed one have been done when the whole
    /// request is answered with 400.
    async fn legacy(&self, body: &Bytes) -> Response<Body> {
        let Ok(commands) = legacy::commands(body) else {
            return self.malformed_legacy();
        };
        let mut out = Vec::with_capacity(256);
        for command in commands {
            let Ok(command) = command else {
                return self.malformed_legacy();
            };
            if legacy::call(&*self.service, &command, &mut out).await.is_err() {
                self.unreadable(ApiRoute::Legacy, "marshal");
                return reply::text(StatusCode::INTERNAL_SERVER_ERROR);
            }
        }
        if body.is_empty() { self.malformed_legacy() } else { reply::json(StatusCode::OK, out) }
    }

    fn malformed_legacy(&self) -> Response<Body> {
        self.unreadable(ApiRoute::Legacy, "unmarshal");
        reply::text(StatusCode::BAD_REQUEST)
    }

    fn wants_transport_errors(&self, headers: &HeaderMap) -> bool {
        let asked = || headers.get("x-centrifugo-error-mode").is_some_and(|mode| mode == "transport");
        self.settings.transport_errors || asked()
    }

    fn unreadable(&self, route: ApiRoute, stage: &'static str) {
        let method = match route {
            ApiRoute::Method(method) => method.name(),
            ApiRoute::Legacy => "legacy",
        };
        let event = ApiRequestUnreadable { protocol: ApiProtocol::Http, method, stage };
        event.emit(self.service.node().metrics());
    }
}
