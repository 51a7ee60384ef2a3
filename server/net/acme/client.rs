//! Requests to the authority.

use crate::net::TlsError;
use crate::net::tls::certificates;
use bytes::Bytes;
use http::Request;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Time for one request, from connecting to the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client that trusts certain authorities of certificates.
#[derive(Clone)]
pub(super) struct Client(HttpClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Client {
    /// Trusts `authorities`, as PEM, or those that browsers trust.
    pub(super) fn new(authorities: Option<&[u8]>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for authority in certificates(pem, "authority of the directory")? {
                    roots.add(authority).map_err(TlsError::Authority)?;
                }
            }
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Identity)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        Ok(Self(HttpClient::builder(TokioExecutor::new()).build(connector)))
    }
}

impl instant_acme::HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        Box::pin(async move {
            match tokio::time::timeout(TIMEOUT, answer).await {
                Ok(answer) => Ok(answer.map_err(|error| Error::Other(Box::new(error)))?.into()),
                Err(error) => Err(Error::Other(Box::new(error))),
            }
        })
    }
}
