//! Ordering one certificate.

use super::client::Client;
use super::store::{Material, Store};
use super::{AcmeSettings, Certificates};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long an authority may take to convince itself, or to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority refused, or could not be asked.
    #[error("ask the authority")]
    Authority(#[from] instant_acme::Error),
    /// The authority offers no challenge of the configured kind.
    #[error("the authority offers no {0:?} challenge")]
    NoChallenge(ChallengeType),
    /// The authority is not convinced.
    #[error("the authority is not convinced that the host is ours")]
    NotConvinced,
    /// The certificate for the challenge cannot be made.
    #[error("make the certificate of a challenge")]
    Challenge(#[from] rcgen::Error),
    /// A certificate cannot be presented.
    #[error("use a certificate")]
    Unusable(#[from] rustls::Error),
    /// What was issued is no certificate.
    #[error("the authority sent no certificate")]
    Malformed,
    /// The account cannot be kept.
    #[error("keep the account")]
    Store(#[from] std::io::Error),
    /// The account that is kept is none.
    #[error("read the account")]
    Account(#[from] serde_json::Error),
}

/// Who issues certificates, and how it is asked.
pub(super) struct Authority {
    client: Client,
    directory: String,
    contact: Option<String>,
    challenge: ChallengeType,
    store: Store,
    certificates: Arc<Certificates>,
    account: OnceCell<Account>,
}

impl Authority {
    pub(super) fn new(
        client: Client,
        settings: &AcmeSettings,
        store: Store,
        certificates: Arc<Certificates>,
    ) -> Self {
        let email = &settings.email;
        Self {
            client,
            directory: settings.directory.clone(),
            contact: (!email.is_empty()).then(|| format!("mailto:{email}")),
            challenge: if settings.http { ChallengeType::Http01 } else { ChallengeType::TlsAlpn01 },
            store,
            certificates,
            account: OnceCell::new(),
        }
    }

    /// Obtains a certificate for a host.
    pub(super) async fn order(&self, host: &str) -> Result<Material, OrderError> {
        let account = self.account.get_or_try_init(|| self.open_account()).await?;
        let mut order = account.new_order(&NewOrder::new(&[Identifier::Dns(host.to_owned())])).await?;
        let _shown = Shown::new(self.certificates.clone());
        self.convince(host, &mut order).await?;
        if order.poll_ready(&PATIENCE).await? != OrderStatus::Ready {
            return Err(OrderError::NotConvinced);
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(Material(format!("{key}{chain}")))
    }

    async fn open_account(&self) -> Result<Account, OrderError> {
        let builder = || Account::builder_with_http(Box::new(self.client.clone()));
        if let Some(kept) = self.store.account().await? {
            let kept: Kept = serde_json::from_str(&kept)?;
            if kept.directory == self.directory {
                return Ok(builder().from_credentials(kept.credentials).await?);
            }
        }
        let contact: Vec<&str> = self.contact.as_deref().into_iter().collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder().create(&new, self.directory.clone(), None).await?;
        let kept = Kept { directory: self.directory.clone(), credentials };
        self.store.keep_account(serde_json::to_string(&kept)?).await?;
        Ok(account)
    }

    /// Puts answers where the authority looks for them, and asks it to look.
    async fn convince(&self, host: &str, order: &mut Order) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let offered = authorization.challenge(self.challenge.clone());
            let mut challenge = offered.ok_or_else(|| OrderError::NoChallenge(self.challenge.clone()))?;
            let answer = challenge.key_authorization();
            if self.challenge == ChallengeType::Http01 {
                let token = challenge.token.clone();
                self.certificates.tokens.write().insert(token, answer.as_str().to_owned());
            } else {
                let certificate = challenge_certificate(host, answer.digest().as_ref())?;
                self.certificates.held.write().challenges.insert(host.to_owned(), Arc::new(certificate));
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }
}

/// An account and the authority it is at.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

/// Takes answers away again: one order is under way at a time.
struct Shown(Arc<Certificates>);

impl Shown {
    fn new(certificates: Arc<Certificates>) -> Self {
        Self(certificates)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.held.write().challenges.clear();
        self.0.tokens.write().clear();
    }
}

/// The certificate that answers TLS-ALPN-01.
///
/// Source: RFC 8737 §3.
pub(super) fn challenge_certificate(host: &str, digest: &[u8]) -> Result<CertifiedKey, OrderError> {
    let mut parameters = CertificateParams::new([host.to_owned()])?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| OrderError::Malformed)?;
    let private = aws_lc_rs::default_provider().key_provider.load_private_key(private)?;
    // Not compared with its key, because the library knows no such certificates.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], private))
}

/// What handshakes present.
pub(super) fn certified(material: &Material) -> Result<CertifiedKey, OrderError> {
    let (key, chain) = material.parts().ok_or(OrderError::Malformed)?;
    Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
}
