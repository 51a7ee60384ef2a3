//! TCP and TLS streams to the server under test, and the certificates of a run.

use std::io;
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A byte stream, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An authority of this run and a certificate for the loopback address signed by it.
pub struct Certificates {
    pub server_certificate: String,
    pub server_key: String,
    client: Arc<ClientConfig>,
}

pub static CERTIFICATES: LazyLock<Certificates> =
    LazyLock::new(|| Certificates::generate().expect("certificates can be generated"));

impl Certificates {
    /// What clients trust.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    fn generate() -> Result<Self, Box<dyn std::error::Error>> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            server_certificate: certificate.pem(),
            server_key: key.serialize_pem(),
            client: Arc::new(client),
        })
    }
}

/// Connects to `host:port`.
pub async fn connect(address: &str, tls: bool) -> io::Result<Box<dyn Stream>> {
    connect_with(address, tls, &[]).await
}

/// As [`connect`], offering these application protocols.
pub async fn connect_with(address: &str, tls: bool, protocols: &[&str]) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if !tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
    let mut config = (*CERTIFICATES.client).clone();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await?))
}
