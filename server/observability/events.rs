//! Things that happen and that an operator wants to know: each is a type, and telling it writes
//! the log line and the metric together.

use super::labels::ApiProtocol;
use super::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The process begins to serve.
#[derive(Debug)]
pub struct Starting<'a> {
    /// Version of the program.
    pub version: &'a str,
    /// Broker, or engine when broker and presence come from one.
    pub broker: &'a str,
    /// Presence store.
    pub presence: &'a str,
    /// Threads that own connections.
    pub shards: usize,
}

impl Starting<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { version, broker, presence, shards } = self;
        let pid = std::process::id();
        tracing::info!(version, pid, broker, presence_manager = presence, shards, "starting gyre");
    }
}

/// A listener is open.
#[derive(Debug)]
pub struct Serving<'a> {
    /// Names of the endpoints, in upstream's words.
    pub endpoints: &'a [&'a str],
    /// Address bound.
    pub address: SocketAddr,
    /// Whether TLS is on.
    pub tls: bool,
    /// Whether HTTP/3 is served at the same port.
    pub http3: bool,
}

impl Serving<'_> {
    /// Tells it.
    pub fn emit(self) {
        let with = match (self.tls, self.http3) {
            (_, true) => " with TLS and HTTP/3",
            (true, false) => " with TLS",
            (false, false) => "",
        };
        tracing::info!("serving {} endpoints on {}{with}", self.endpoints.join(", "), self.address);
    }
}

/// A protection is switched off by configuration.
#[derive(Debug)]
pub struct InsecureMode<'a> {
    /// What is insecure, for example «HTTP API mode».
    pub what: &'a str,
}

impl InsecureMode<'_> {
    /// Tells it.
    pub fn emit(self) {
        tracing::warn!("INSECURE {} enabled, make sure you understand risks", self.what);
    }
}

/// A connection was refused because the node has as many as it may.
#[derive(Debug)]
pub struct ConnectionLimitReached {
    /// `client.connection_limit`.
    pub limit: u64,
    /// Now.
    pub now: Instant,
}

/// Least time between two log lines about the same thing, in milliseconds.
const LIMIT_LOG_INTERVAL: u64 = 3_000;

impl ConnectionLimitReached {
    /// Counts it, and tells it at most every three seconds.
    pub fn emit(self, metrics: &Metrics) {
        /// Milliseconds since the metrics began, plus one; zero means never.
        static LOGGED: AtomicU64 = AtomicU64::new(0);
        metrics.connection_limit();
        let millis = self.now.saturating_duration_since(metrics.start).as_millis() as u64 + 1;
        let before = LOGGED.load(Ordering::Relaxed);
        if (before == 0 || millis.saturating_sub(before) > LIMIT_LOG_INTERVAL)
            && LOGGED.compare_exchange(before, millis, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            tracing::warn!(limit = self.limit, "node connection limit reached");
        }
    }
}

/// A server API command ended with an error.
#[derive(Debug)]
pub struct ApiCommandFailed<'a> {
    /// Where the command came from.
    pub protocol: ApiProtocol,
    /// Method.
    pub method: &'static str,
    /// Code of the answer.
    pub code: u32,
    /// Whether the server is at fault rather than the request.
    pub fault: bool,
    /// Why, in more words than the answer has.
    pub reason: Option<&'a (dyn std::error::Error + 'static)>,
}

impl ApiCommandFailed<'_> {
    /// Counts it; faults of the server are errors, requests that cannot be served are information.
    pub fn emit(self, metrics: &Metrics) {
        let Self { protocol, method, code, fault, reason } = self;
        metrics.api_error(protocol, method, code.to_string());
        let protocol = protocol.as_str();
        match (reason, fault) {
            (Some(error), true) => tracing::error!(error, protocol, method, code, "API command failed"),
            (None, true) => tracing::error!(protocol, method, code, "API command failed"),
            (Some(error), false) => tracing::info!(error, protocol, method, code, "API command refused"),
            (None, false) => tracing::info!(protocol, method, code, "API command refused"),
        }
    }
}

/// A server API request could not be read.
#[derive(Debug)]
pub struct ApiRequestUnreadable {
    /// Where it came from.
    pub protocol: ApiProtocol,
    /// Method.
    pub method: &'static str,
    /// Whether it was the connection (`read_body`) or the content (`unmarshal`).
    pub stage: &'static str,
}

impl ApiRequestUnreadable {
    /// Counts and tells it.
    pub fn emit(self, metrics: &Metrics) {
        let Self { protocol, method, stage } = self;
        metrics.api_error(protocol, method, stage.to_owned());
        tracing::info!(protocol = protocol.as_str(), method, stage, "API request cannot be read");
    }
}
