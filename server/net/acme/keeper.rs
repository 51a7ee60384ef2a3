//! Keeping certificates fresh: when to order, and when to try again.

use super::Certificates;
use super::order::{Authority, OrderError, certified};
use super::store::{Material, Store};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::FromDer;

/// Time before its end at which a certificate is renewed; a third of its life when that is shorter.
const RENEWAL: Duration = Duration::from_secs(30 * 24 * 3600);
/// First pause after a failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// Orders certificates for hosts when they need one.
pub(super) struct Keeper {
    hosts: Vec<Host>,
    authority: Authority,
    store: Store,
    certificates: Arc<Certificates>,
}

struct Host {
    name: String,
    /// When a certificate is ordered.
    due: SystemTime,
    failures: u32,
}

impl Keeper {
    pub(super) fn new(
        hosts: Vec<String>,
        authority: Authority,
        store: Store,
        certificates: Arc<Certificates>,
    ) -> Self {
        let host = |name: String| Host { name: name.to_ascii_lowercase(), due: UNIX_EPOCH, failures: 0 };
        Self { hosts: hosts.into_iter().map(host).collect(), authority, store, certificates }
    }

    /// Takes what is kept and orders what is missing or old, for ever.
    pub(super) async fn run(mut self) {
        for host in &mut self.hosts {
            match self.store.certificate(&host.name).await {
                Ok(Some(kept)) => {
                    if let Ok(due) = put(&self.certificates, &host.name, &kept) {
                        host.due = due;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, host = host.name, "certificate that is kept cannot be read");
                }
            }
        }
        loop {
            for host in &mut self.hosts {
                if host.due <= SystemTime::now() {
                    let ordered = order(host, &self.authority, &self.store, &self.certificates).await;
                    host.settle(ordered, SystemTime::now());
                }
            }
            let next = self.hosts.iter().map(|host| host.due).min();
            let Some(next) = next else { return };
            // Of a clock that is set, no more than an hour is missed.
            let pause = next.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::time::sleep(pause.min(Duration::from_secs(3600))).await;
        }
    }
}

impl Host {
    /// Decides when the next order is due after one that ended like this.
    fn settle(&mut self, ordered: Result<SystemTime, OrderError>, now: SystemTime) {
        match ordered {
            Ok(due) => {
                tracing::info!(host = self.name, "certificate obtained");
                (self.due, self.failures) = (due, 0);
            }
            Err(error) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, host = self.name, again_in = ?pause, "no certificate");
                (self.due, self.failures) = (now + pause, self.failures + 1);
            }
        }
    }
}

async fn order(
    host: &Host,
    authority: &Authority,
    store: &Store,
    certificates: &Certificates,
) -> Result<SystemTime, OrderError> {
    let material = authority.order(&host.name).await?;
    let due = put(certificates, &host.name, &material)?;
    if let Err(error) = store.keep_certificate(&host.name, &material).await {
        // It serves until the next start, which orders a new one.
        tracing::error!(%error, host = host.name, "certificate cannot be kept");
    }
    Ok(due)
}

/// Has handshakes present a certificate; answers when it is due to be renewed.
fn put(certificates: &Certificates, host: &str, material: &Material) -> Result<SystemTime, OrderError> {
    let due = renewal(material).ok_or(OrderError::Malformed)?;
    let key = certified(material)?;
    certificates.held.write().issued.insert(host.to_owned(), Arc::new(key));
    Ok(due)
}

/// When a certificate is to be renewed.
fn renewal(material: &Material) -> Option<SystemTime> {
    let (_, chain) = material.parts()?;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(chain.first()?).ok()?;
    let validity = certificate.validity();
    let at = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
    let (begin, end) = (at(validity.not_before)?, at(validity.not_after)?);
    let before = RENEWAL.min(Duration::from_secs(end.saturating_sub(begin) / 3));
    Some(UNIX_EPOCH + Duration::from_secs(end) - before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn material(until: (i32, u8, u8)) -> Material {
        let mut parameters = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        parameters.not_before = date_time_ymd(2026, 1, 1);
        parameters.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Material(format!("{}{}", key.serialize_pem(), certificate.pem()))
    }

    #[test]
    fn certificates_are_renewed_before_they_end() {
        let day = |month, day| SystemTime::from(date_time_ymd(2026, month, day));
        assert_eq!(renewal(&material((2026, 12, 31))), Some(day(12, 1)));
        assert_eq!(renewal(&material((2026, 1, 7))), Some(day(1, 5)));
        assert_eq!(renewal(&Material(String::new())), None);
    }

    #[test]
    fn failures_are_repeated_less_and_less_often() {
        let mut host = Host { name: "a.example".into(), due: UNIX_EPOCH, failures: 0 };
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            host.settle(Err(OrderError::NotConvinced), now);
            pauses.push(host.due.duration_since(now).expect("later").as_secs());
        }
        assert_eq!(pauses[..4], [60, 120, 240, 480]);
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE.as_secs()));
        host.settle(Ok(now + RENEWAL), now);
        assert_eq!((host.due, host.failures), (now + RENEWAL, 0));
    }
}
