//! Opening connections to applications.

use super::settings::TlsSettings;
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// How often the system looks whether a silent application is still there, and how often it looks in vain.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TRIES: u32 = 3;

/// How long what was sent may stay unacknowledged before the connection counts as cut. All calls over gRPC share
/// one, so a cut that nobody told of would cost every call until the system gave up by itself.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Connections that are not encrypted.
pub(super) fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE));
    tcp.set_keepalive_retries(Some(KEEP_ALIVE_TRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

/// Connections that are encrypted for `https` addresses, which offer these application protocols.
pub(super) fn https(tls: TlsSettings, protocols: &[&[u8]]) -> HttpsConnector<HttpConnector> {
    let mut config = ClientConfig::clone(&tls.config);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let names: Arc<dyn ResolveServerName + Send + Sync> = match tls.server_name {
        Some(name) => Arc::new(FixedServerNameResolver::new(name)),
        None => Arc::new(DefaultServerNameResolver::default()),
    };
    HttpsConnector::new(tcp(), Arc::new(config), false, names)
}
