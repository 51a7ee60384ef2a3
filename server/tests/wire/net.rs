//! TCP and TLS streams to the server under test, and the certificates of a run.

use std::io;
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A byte stream, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An authority of this run and a certificate for the loopback address signed by it.
pub struct Certificates {
    pub server_certificate: String,
    pub server_key: String,
    /// The authority that signed everything.
    pub authority: String,
    /// What the server under test may show to the application.
    pub client_certificate: String,
    pub client_key: String,
    /// Of the application: trusts certificates of the authority, and asks for one without insisting.
    pub application: Arc<ServerConfig>,
    /// A key that fits neither certificate.
    pub other_key: String,
    client: ClientConfig,
    known_client: ClientConfig,
}

/// Whether a connection is encrypted, and who shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Off,
    Server,
    Mutual,
}

impl Tls {
    /// The value of an option: a truth value, or `client` for a client that shows its certificate.
    pub fn of(option: Option<&Value>) -> Result<Self, String> {
        match option {
            None | Some(Value::Bool(false)) => Ok(Self::Off),
            Some(Value::Bool(true)) => Ok(Self::Server),
            Some(Value::String(who)) if who == "client" => Ok(Self::Mutual),
            Some(other) => Err(format!("tls cannot be {other}")),
        }
    }
}

pub static CERTIFICATES: LazyLock<Certificates> =
    LazyLock::new(|| Certificates::generate().expect("certificates can be generated"));

impl Certificates {
    /// How clients do it.
    pub fn client(&self, tls: Tls) -> ClientConfig {
        ClientConfig::clone(if tls == Tls::Mutual { &self.known_client } else { &self.client })
    }

    fn generate() -> Result<Self, Box<dyn std::error::Error>> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let client_key = KeyPair::generate()?;
        let client_certificate = CertificateParams::new(vec![])?.signed_by(&client_key, &authority)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone());
        let mut application = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients.allow_unauthenticated().build()?)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?,
            )?;
        application.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let trusting = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let private = PrivateKeyDer::try_from(client_key.serialize_der())?;
        Ok(Self {
            server_certificate: certificate.pem(),
            server_key: key.serialize_pem(),
            authority: authority.pem(),
            client_certificate: client_certificate.pem(),
            client_key: client_key.serialize_pem(),
            application: Arc::new(application),
            other_key: KeyPair::generate()?.serialize_pem(),
            client: trusting.clone().with_no_client_auth(),
            known_client: trusting.with_client_auth_cert(vec![client_certificate.der().clone()], private)?,
        })
    }
}

/// Connects to `host:port`.
pub async fn connect(address: &str, tls: Tls) -> io::Result<Box<dyn Stream>> {
    connect_with(address, tls, &[]).await
}

/// As [`connect`], offering these application protocols.
pub async fn connect_with(address: &str, tls: Tls, protocols: &[&str]) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut config = match tls {
        Tls::Off => return Ok(Box::new(stream)),
        Tls::Server | Tls::Mutual => CERTIFICATES.client(tls),
    };
    let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await?))
}
