//! Certificates that are obtained and renewed by themselves, over ACME.
//!
//! One task orders a certificate for each host and renews it in time; handshakes get what there is. The authority
//! convinces itself that a host is ours by a handshake of its own (TLS-ALPN-01), or by a request over plain HTTP
//! (HTTP-01).
//!
//! Source: RFC 8555, RFC 8737.

mod challenge;
mod client;
mod keeper;
mod order;
mod resolver;
mod store;

pub use challenge::ChallengePage;
pub use resolver::CHALLENGE_PROTOCOL;

use keeper::Keeper;
use order::Authority;
use parking_lot::RwLock;
use resolver::{Held, Resolver};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;

/// Where certificates come from unless the configuration says otherwise.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What the configuration says.
#[derive(Clone, Debug, Default)]
pub struct AcmeSettings {
    /// Hosts that get a certificate each.
    pub hosts: Vec<String>,
    /// Directory that keeps certificates over restarts; none keeps them in memory.
    pub cache: Option<PathBuf>,
    /// Address the authority may write to; empty for none.
    pub email: String,
    /// Host assumed for clients that name none; empty for none.
    pub default_host: String,
    /// Answer to HTTP-01, which needs [`AutomaticCertificates::challenge_page`] at port 80 of each host; otherwise
    /// to TLS-ALPN-01.
    pub http: bool,
    /// Address of the authority.
    pub directory: String,
    /// Certificates that the authority's own is checked with, as PEM; none for those of public authorities.
    pub authorities: Option<Vec<u8>>,
}

/// Why no certificates can be obtained. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authorities cannot be used.
    #[error("use authorities of the directory")]
    Authorities(#[source] super::TlsError),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
}

/// What handshakes and challenges share with the task that orders.
#[derive(Default)]
struct Certificates {
    held: RwLock<Held>,
    /// Answers to HTTP-01 by token.
    tokens: RwLock<HashMap<String, String>>,
}

/// The certificates of some hosts, kept fresh as long as this lives.
pub struct AutomaticCertificates {
    tls: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    keeping: tokio::task::JoinHandle<()>,
}

impl AutomaticCertificates {
    /// Begins to obtain certificates.
    ///
    /// # Errors
    /// See [`AcmeError`].
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn start(settings: AcmeSettings) -> Result<Self, AcmeError> {
        let certificates = Arc::<Certificates>::default();
        let resolver = Resolver::new(certificates.clone(), settings.default_host.clone());
        let mut tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(AcmeError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        tls.alpn_protocols = super::tls::PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        tls.alpn_protocols.push(CHALLENGE_PROTOCOL.to_vec());
        let client = client::Client::new(settings.authorities.as_deref()).map_err(AcmeError::Authorities)?;
        let store = Store::new(settings.cache.clone());
        let authority = Authority::new(client, &settings, store.clone(), certificates.clone());
        let keeper = Keeper::new(settings.hosts, authority, store, certificates.clone());
        Ok(Self { tls: Arc::new(tls), certificates, keeping: tokio::spawn(keeper.run()) })
    }

    /// TLS for listeners.
    pub fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }

    /// What answers HTTP-01.
    pub fn challenge_page(&self) -> ChallengePage {
        ChallengePage::new(self.certificates.clone())
    }
}

impl Drop for AutomaticCertificates {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}
