//! Opening connections to applications.

use super::settings::TlsSettings;
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream, ResolveServerName,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// How often the system looks whether a silent application is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Connections that are not encrypted.
pub(super) fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp
}

/// Connections that are encrypted for `https` addresses.
pub(super) fn https(tls: TlsSettings) -> HttpsConnector<HttpConnector> {
    let names: Arc<dyn ResolveServerName + Send + Sync> = match tls.server_name {
        Some(name) => Arc::new(FixedServerNameResolver::new(name)),
        None => Arc::new(DefaultServerNameResolver::default()),
    };
    HttpsConnector::new(tcp(), tls.config, false, names)
}

/// Encrypted connections for HTTP/2, whatever the scheme of the address is.
pub(super) fn encrypted_http2(
    mut tls: TlsSettings,
) -> impl Service<
    Uri,
    Response = MaybeHttpsStream<TokioIo<TcpStream>>,
    Error = Box<dyn std::error::Error + Send + Sync>,
    Future: Send,
> + Send
+ 'static {
    let mut config = ClientConfig::clone(&tls.config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    tls.config = Arc::new(config);
    let connector = https(tls);
    tower::service_fn(move |address: Uri| {
        let mut connector = connector.clone();
        async move {
            let mut parts = address.into_parts();
            parts.scheme = Some(Scheme::HTTPS);
            connector.call(Uri::from_parts(parts)?).await
        }
    })
}
