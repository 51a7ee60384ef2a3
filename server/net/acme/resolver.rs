//! Choosing what is presented in a handshake.

use super::Certificates;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// Application protocol of handshakes by which an authority convinces itself.
///
/// Source: RFC 8737 §6.2.
pub const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// Certificates by host, in lower case.
#[derive(Default)]
pub(super) struct Held {
    /// For clients.
    pub(super) issued: HashMap<String, Arc<CertifiedKey>>,
    /// For the authority, while it asks.
    pub(super) challenges: HashMap<String, Arc<CertifiedKey>>,
}

pub(super) struct Resolver {
    certificates: Arc<Certificates>,
    default_host: String,
}

impl Resolver {
    pub(super) fn new(certificates: Arc<Certificates>, default_host: String) -> Self {
        Self { certificates, default_host: default_host.to_ascii_lowercase() }
    }

    fn choose(&self, host: Option<&str>, is_challenge: bool) -> Option<Arc<CertifiedKey>> {
        let held = self.certificates.held.read();
        if is_challenge {
            return held.challenges.get(host?).cloned();
        }
        held.issued.get(host.unwrap_or(&self.default_host)).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        // An authority offers nothing else.
        let is_challenge = protocols.next() == Some(CHALLENGE_PROTOCOL) && protocols.next().is_none();
        let host = hello.server_name().map(str::to_ascii_lowercase);
        self.choose(host.as_deref(), is_challenge)
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Resolver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::acme::order::challenge_certificate;

    #[test]
    fn clients_get_what_was_issued_and_the_authority_gets_its_answer() {
        let certificates = Arc::<Certificates>::default();
        let resolver = Resolver::new(certificates.clone(), "Default.example".into());
        let key = |host: &str| Arc::new(challenge_certificate(host, &[0; 32]).expect("a certificate"));
        let (issued, default, challenge) = (key("a.example"), key("default.example"), key("a.example"));
        {
            let mut held = certificates.held.write();
            held.issued.insert("a.example".into(), issued.clone());
            held.issued.insert("default.example".into(), default.clone());
            held.challenges.insert("a.example".into(), challenge.clone());
        }
        let is = |host, is_challenge, expected: Option<&Arc<CertifiedKey>>| {
            let chosen = resolver.choose(host, is_challenge);
            match (chosen, expected) {
                (Some(chosen), Some(expected)) => Arc::ptr_eq(&chosen, expected),
                (chosen, expected) => chosen.is_none() && expected.is_none(),
            }
        };
        assert!(is(Some("a.example"), false, Some(&issued)));
        assert!(is(Some("a.example"), true, Some(&challenge)));
        assert!(is(None, false, Some(&default)));
        assert!(is(None, true, None));
        assert!(is(Some("other.example"), false, None));
        assert!(is(Some("default.example"), true, None));
    }
}
