//! TLS of connections we open: to stores and applications.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::sync::Arc;

/// Which servers are trusted and what is shown to them, as PEM texts.
#[derive(Clone, Default)]
pub struct ClientIdentity {
    /// Authorities to trust; `None` trusts those of the machine.
    pub authorities: Option<String>,
    /// Our certificate chain and its key, if the server wants them.
    pub certificate: Option<(String, String)>,
    /// Trust any certificate. Insecure: for experiments.
    pub trust_anyone: bool,
}

/// Why TLS towards a server cannot be set up. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// A PEM text cannot be read.
    #[error("read {what}")]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate, key or authority cannot be used.
    #[error("use TLS certificates")]
    Certificates(#[from] rustls::Error),
}

/// Makes the configuration of connections: TLS 1.2 and 1.3.
///
/// # Errors
/// See [`ClientTlsError`].
pub fn client_config(identity: &ClientIdentity) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if identity.trust_anyone {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider)))
    } else {
        builder.with_root_certificates(roots(identity.authorities.as_deref())?)
    };
    Ok(Arc::new(match &identity.certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|source| ClientTlsError::Pem { what: "private key", source })?;
            builder.with_client_auth_cert(certificates(chain, "certificate")?, key)?
        }
    }))
}

fn roots(authorities: Option<&str>) -> Result<RootCertStore, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in certificates(pem, "server authority")? {
                roots.add(certificate)?;
            }
        }
        None => {
            // Certificates of the machine that cannot be read are passed over, as other programs do.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
    }
    Ok(roots)
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, ClientTlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| ClientTlsError::Pem { what, source })
}

/// Checks signatures but not who made the certificate.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
