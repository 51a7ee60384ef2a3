//! Certificates and the account at the authority, kept in a directory.
//!
//! A certificate stands with its key in a file that is named like its host, as upstream's stand, which are read too.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// File of the account.
const ACCOUNT: &str = "acme_account.json";

/// Key and certificates, ours first, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Material(pub(super) String);

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Material")
    }
}

impl Material {
    /// The private key and the certificates, if it holds them.
    pub(super) fn parts(&self) -> Option<(PrivateKeyDer<'static>, Vec<CertificateDer<'static>>)> {
        let key = PrivateKeyDer::from_pem_slice(self.0.as_bytes()).ok()?;
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(self.0.as_bytes()).collect::<Result<_, _>>().ok()?;
        (!certificates.is_empty()).then_some((key, certificates))
    }
}

/// The directory, or none.
#[derive(Clone, Debug)]
pub(super) struct Store(Option<PathBuf>);

impl Store {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        Self(directory)
    }

    /// What is kept for a host.
    pub(super) async fn certificate(&self, host: &str) -> io::Result<Option<Material>> {
        Ok(self.read(host).await?.map(Material))
    }

    pub(super) async fn keep_certificate(&self, host: &str, material: &Material) -> io::Result<()> {
        self.write(host, material.0.clone()).await
    }

    /// The account, in the words of the library.
    pub(super) async fn account(&self) -> io::Result<Option<String>> {
        self.read(ACCOUNT).await
    }

    pub(super) async fn keep_account(&self, account: String) -> io::Result<()> {
        self.write(ACCOUNT, account).await
    }

    async fn read(&self, name: &str) -> io::Result<Option<String>> {
        let Some(directory) = &self.0 else { return Ok(None) };
        match tokio::fs::read_to_string(directory.join(name)).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, name: &str, text: String) -> io::Result<()> {
        let Some(directory) = self.0.clone() else { return Ok(()) };
        let name = name.to_owned();
        let written = tokio::task::spawn_blocking(move || replace(&directory, &name, text.as_bytes()));
        written.await.map_err(io::Error::other)?
    }
}

/// Writes a file that only we may read, so that it is there whole or not at all.
fn replace(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    std::fs::create_dir_all(directory)?;
    let beside = directory.join(format!(".{name}.new"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(beside, directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn what_is_kept_is_found_and_nobody_else_reads_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("certificates");
        let store = Store::new(Some(path.clone()));
        assert_eq!(store.certificate("a.example").await.expect("readable"), None);
        for text in ["one", "two"] {
            store.keep_certificate("a.example", &Material(text.into())).await.expect("kept");
        }
        store.keep_account("{}".into()).await.expect("kept");
        assert_eq!(store.certificate("a.example").await.expect("readable"), Some(Material("two".into())));
        assert_eq!(store.account().await.expect("readable").as_deref(), Some("{}"));
        let mode = std::fs::metadata(path.join("a.example")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path).expect("a directory").count(), 2);
    }

    #[tokio::test]
    async fn without_a_directory_nothing_is_kept() {
        let store = Store::new(None);
        store.keep_certificate("a.example", &Material("one".into())).await.expect("nothing to do");
        assert_eq!(store.certificate("a.example").await.expect("nothing to do"), None);
    }

    #[test]
    fn keys_and_certificates_are_told_apart() {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        let both = Material(format!("{}{}{}", signing_key.serialize_pem(), cert.pem(), cert.pem()));
        assert_eq!(both.parts().map(|(_, certificates)| certificates.len()), Some(2));
        assert!(Material(cert.pem()).parts().is_none());
        assert!(Material(signing_key.serialize_pem()).parts().is_none());
    }
}
