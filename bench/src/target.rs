//! Where a server listens and how to get in.

use crate::wire::Protocol;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tokens outlive any run.
const TOKEN_LIFETIME_SECONDS: u64 = 24 * 3600;

/// The endpoints of one running server.
#[derive(Clone, Debug)]
pub struct Target {
    pub websocket: Endpoint,
    pub http: Endpoint,
    pub grpc: SocketAddr,
    /// Unidirectional gRPC streams.
    pub uni_grpc: SocketAddr,
    pub api_key: String,
    pub token_secret: String,
    pub protocol: Protocol,
    /// Process to measure, when it runs on this machine.
    pub pid: Option<u32>,
}

/// A plain-text address with a path.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub host: String,
    pub path: String,
}

impl Endpoint {
    pub fn loopback(port: u16, path: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { address, host: address.to_string(), path: path.to_owned() }
    }

    /// Reads `scheme://host:port/path`; an empty path becomes `default_path`.
    pub fn parse(url: &str, scheme: &str, default_path: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")) else {
            bail!("address {url:?} does not start with {scheme}://");
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = if path.is_empty() { default_path.to_owned() } else { format!("/{path}") };
        Ok(Self { address: resolve(host)?, host: host.to_owned(), path })
    }
}

/// Resolves `host:port`, preferring IPv4.
pub fn resolve(host: &str) -> Result<SocketAddr> {
    let addresses: Vec<SocketAddr> =
        host.to_socket_addrs().with_context(|| format!("resolve {host:?} (host:port)"))?.collect();
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .copied()
        .with_context(|| format!("{host:?} has no address"))
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [&'a str],
}

impl Target {
    /// Signs a connection token for `user` that has the server subscribe the connection to `channels`.
    pub fn token(&self, user: &str, channels: &[&str]) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("clock is before 1970")?.as_secs();
        jsonwebtoken::encode(
            &jsonwebtoken::Header::default(),
            &Claims { sub: user, exp: now + TOKEN_LIFETIME_SECONDS, channels },
            &jsonwebtoken::EncodingKey::from_secret(self.token_secret.as_bytes()),
        )
        .context("sign a connection token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_their_scheme_and_a_port() {
        let endpoint =
            Endpoint::parse("ws://127.0.0.1:8000/connection/websocket", "ws", "/x").expect("valid");
        assert_eq!(
            (endpoint.host.as_str(), endpoint.path.as_str()),
            ("127.0.0.1:8000", "/connection/websocket")
        );
        assert_eq!(Endpoint::parse("http://127.0.0.1:1", "http", "/api").expect("valid").path, "/api");
        assert!(Endpoint::parse("wss://127.0.0.1:1", "ws", "/").is_err());
        assert!(Endpoint::parse("ws://127.0.0.1", "ws", "/").is_err());
    }
}
