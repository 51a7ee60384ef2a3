//! TLS for listeners, from PEM texts.

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// Certificates and key as PEM texts.
#[derive(Clone, Default)]
pub struct PemMaterial {
    /// Our certificate and those between it and the root, ours first.
    pub certificates: Vec<u8>,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: Vec<u8>,
    /// Authorities that clients must present a certificate of; `None` asks for none.
    pub client_authorities: Option<Vec<u8>>,
}

/// Why TLS could not be set up. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text cannot be read.
    #[error("read {what}")]
    Pem {
        /// What the text should hold.
        what: &'static str,
        /// Why it does not.
        source: rustls_pki_types::pem::Error,
    },
    /// A PEM text holds no certificate.
    #[error("{what} holds no certificate")]
    NoCertificate {
        /// Which text.
        what: &'static str,
    },
    /// Certificate and key do not fit each other or the protocol.
    #[error("use TLS certificate and key")]
    Identity(#[source] rustls::Error),
    /// An authority cannot be used.
    #[error("use client certificate authority")]
    Authority(#[source] rustls::Error),
    /// The authorities make no verifier.
    #[error("verify client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// Protocols offered to peers: HTTP/2 for gRPC, HTTP/1.1 for everything else.
pub(super) const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes the configuration of a listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(pem: &PemMaterial) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = certificates(&pem.certificates, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key)
        .map_err(|source| TlsError::Pem { what: "private key", source })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?;
    let builder = match &pem.client_authorities {
        Some(authorities) => builder.with_client_cert_verifier(verifier(authorities, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(TlsError::Identity)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

fn verifier(
    authorities: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in certificates(authorities, "client certificate authority")? {
        roots.add(authority).map_err(TlsError::Authority)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(TlsError::Verifier)
}

pub(super) fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|source| TlsError::Pem { what, source })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { what });
    }
    Ok(certificates)
}
