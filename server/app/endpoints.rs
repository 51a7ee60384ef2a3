//! The endpoints clients connect to, and what is checked before a connection begins.

use crate::api::{ConnectionEndpoints, Reply};
use crate::auth::OriginPolicy;
use crate::net::{Body, Peer};
use crate::observability::{ConnectionLimitReached, Metrics};
use crate::reactor::Reactor;
use crate::transport::websocket::accept::{self, Options};
use http::header::ORIGIN;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// The client transports of the external port.
pub struct Endpoints {
    /// Where connections go.
    pub reactor: Arc<Reactor>,
    /// Path of the WebSocket endpoint; none when disabled.
    pub websocket: Option<String>,
    /// How the WebSocket endpoint behaves.
    pub websocket_options: Options,
    /// Pages that may connect.
    pub origins: OriginPolicy,
    /// Header that names the user, set by a trusted proxy; empty for none.
    pub user_header: String,
    /// How many connections there may be.
    pub gate: Gate,
    /// Where refusals are counted.
    pub metrics: Arc<Metrics>,
}

impl ConnectionEndpoints for Endpoints {
    fn names(&self) -> Vec<&'static str> {
        self.websocket.iter().map(|_| "websocket").collect()
    }

    fn handles(&self, path: &str) -> bool {
        self.websocket.as_deref() == Some(path)
    }

    fn call(&self, request: Request<Incoming>, _peer: Peer) -> Reply {
        let response = self.websocket(request);
        Box::pin(std::future::ready(response))
    }
}

impl Endpoints {
    fn websocket(&self, request: Request<Incoming>) -> Response<Body> {
        let now = Instant::now();
        if let Err(limit) = self.gate.admit(self.reactor.authenticated_connections(), now) {
            ConnectionLimitReached { limit, now }.emit(&self.metrics);
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let allowed = self.origins.allows(header(ORIGIN.as_str()));
        let user = if self.user_header.is_empty() { None } else { header(&self.user_header) };
        let user = user.unwrap_or_default().to_owned();
        accept::accept(request, self.websocket_options, allowed, user, self.reactor.clone())
    }
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
