//! Certificates of one test: an authority, a server on this machine, and a client.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

pub(crate) struct Certificates {
    authority: String,
    server: String,
    server_key: String,
    client: String,
    pub(crate) client_key: String,
}

impl Certificates {
    pub(crate) fn generate() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"))
            .expect("an authority is made");
        let sign = |names: &[&str]| {
            let key = KeyPair::generate().expect("a key");
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let subject = names[0].clone();
            let mut parameters = CertificateParams::new(names).expect("names are well formed");
            // With the name of the authority it would count as signed by itself.
            parameters.distinguished_name.push(DnType::CommonName, subject);
            let certificate = parameters.signed_by(&key, &authority).expect("is signed");
            (certificate.pem(), key.serialize_pem())
        };
        let (server, server_key) = sign(&["localhost", "127.0.0.1"]);
        let (client, client_key) = sign(&["client"]);
        Self { authority: authority.pem(), server, server_key, client, client_key }
    }

    /// Writes them all into a directory.
    pub(crate) fn files(&self) -> Files {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in [
            ("authority.pem", &self.authority),
            ("server.pem", &self.server),
            ("server.key", &self.server_key),
            ("client.pem", &self.client),
            ("client.key", &self.client_key),
        ] {
            std::fs::write(directory.path().join(name), text).expect("is written");
        }
        Files(directory)
    }
}

/// A directory with certificates and keys, removed when dropped.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}
