//! How an application is asked, as configured.

use super::events::Refusal;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;

/// One proxy.
#[derive(Clone)]
pub struct ProxySettings {
    /// Section of the configuration, for errors and logs.
    pub section: String,
    /// Where to ask: `http://…` or `https://…`; over gRPC `grpc://host:port`, or without `grpc://`.
    pub endpoint: String,
    /// Time for one answer, waiting for a place included.
    pub timeout: Duration,
    /// Headers of clients' requests that are passed on.
    pub http_headers: Vec<String>,
    /// Metadata of gRPC clients that is passed on.
    pub grpc_metadata: Vec<String>,
    /// Headers clients may claim that are passed on.
    pub emulated_headers: Vec<String>,
    /// Payloads travel as base64.
    pub binary_encoding: bool,
    /// Meta information of the connection is passed on.
    pub include_connection_meta: bool,
    /// What only this way of asking has.
    pub protocol: ProtocolSettings,
}

/// The way an application is asked.
#[derive(Clone)]
pub enum ProtocolSettings {
    /// By requests with JSON.
    Http(HttpSettings),
    /// By calls with Protobuf.
    Grpc(GrpcSettings),
}

/// What only HTTP has.
#[derive(Clone)]
pub struct HttpSettings {
    /// TLS of `https` addresses, the endpoint's and those it redirects to.
    pub tls: TlsSettings,
    /// Headers sent with every request.
    pub static_headers: Vec<(String, String)>,
    /// Answers that status codes stand for; the first that fits counts.
    pub refusals: Vec<(u16, Refusal)>,
}

/// What only gRPC has.
#[derive(Clone, Default)]
pub struct GrpcSettings {
    /// TLS; without it connections are not encrypted.
    pub tls: Option<TlsSettings>,
    /// Name and value of the entry that carries credentials.
    pub credentials: Option<(String, String)>,
    /// Requests are compressed.
    pub compression: bool,
    /// Metadata sent with every call.
    pub static_metadata: Vec<(String, String)>,
}

/// TLS towards an application.
#[derive(Clone)]
pub struct TlsSettings {
    /// Whom to trust and what to show.
    pub config: Arc<ClientConfig>,
    /// Name to expect in its certificate instead of the one connected to.
    pub server_name: Option<ServerName<'static>>,
}

/// A proxy that cannot be used as configured. The start ends with it.
#[derive(Debug, thiserror::Error)]
#[error("{key} {value:?} cannot be used: {reason}")]
pub struct ProxySetupError {
    /// Key of the configuration.
    pub key: String,
    /// Its value; without passwords.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ProxySettings {
    /// An error about one key of this proxy.
    pub(super) fn unusable(&self, key: &str, value: &str, reason: impl ToString) -> ProxySetupError {
        ProxySetupError {
            key: format!("{}.{key}", self.section),
            value: without_password(value),
            reason: reason.to_string(),
        }
    }
}

/// An address as it may be shown.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((secret, _)) => format!("{scheme}://…{}", &rest[secret.len()..]),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (address, shown) in [
            ("http://user:secret@host:1/path", "http://…@host:1/path"),
            ("http://host/path@2", "http://host/path@2"),
            ("host:1", "host:1"),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }
}
