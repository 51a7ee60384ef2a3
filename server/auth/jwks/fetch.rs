//! Asking a key endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use std::sync::Arc;
use std::time::Duration;

/// Time for one attempt, from connecting to the last byte.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// Attempts of one fetch.
const ATTEMPTS: usize = 2;

/// Largest answer that is read.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Why an endpoint gave no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("address is malformed")]
    Address,
    #[error("no answer within a second")]
    Timeout,
    #[error("status {0} instead of 200")]
    Status(StatusCode),
    #[error("request failed: {0}")]
    Request(hyper_util::client::legacy::Error),
    #[error("answer was cut off or is larger than a mebibyte")]
    Body,
    #[error("answer is not a JSON Web Key Set")]
    Format,
}

/// A client for key endpoints. Redirects are not followed: the configured address is the trusted one.
pub(super) struct HttpFetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl HttpFetcher {
    /// Builds a client; the machine's trusted certificates are loaded only when `https` is needed.
    pub fn new(https: bool) -> Self {
        let roots = if https { trusted_roots() } else { RootCertStore::empty() };
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Reads the body behind `url`.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub async fn fetch(&self, url: &str) -> Result<Bytes, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Address)?;
        let mut result = Err(FetchError::Timeout);
        for _ in 0..ATTEMPTS {
            result = tokio::time::timeout(ATTEMPT_TIMEOUT, self.attempt(uri.clone()))
                .await
                .unwrap_or(Err(FetchError::Timeout));
            if result.is_ok() {
                break;
            }
        }
        result
    }

    async fn attempt(&self, uri: Uri) -> Result<Bytes, FetchError> {
        let mut request = Request::get(uri.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, concat!("gyre/", env!("CARGO_PKG_VERSION")));
        if let Some((credentials, _)) =
            uri.authority().and_then(|authority| authority.as_str().rsplit_once('@'))
        {
            request =
                request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)));
        }
        let request = request.body(Empty::new()).map_err(|_| FetchError::Address)?;
        let response = self.client.request(request).await.map_err(FetchError::Request)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
        body.map(|body| body.to_bytes()).map_err(|_| FetchError::Body)
    }
}

/// The machine's certificates, because key endpoints often have one of a private authority; a bundled set
/// when the machine has none, as small container images do.
fn trusted_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
