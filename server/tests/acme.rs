//! Certificates from an authority: Pebble of Let's Encrypt, which `PEBBLE` names.
//!
//! `go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.3`, then
//! `PEBBLE=…/pebble cargo test -p gyre --test acme -- --ignored`.

#[path = "hostile/process.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod process;

use process::{Process, free_address};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs};

/// How long an order may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(50);

/// An authority that runs as long as this lives.
struct Pebble {
    child: Child,
    directory: String,
    management: SocketAddr,
    /// What its own certificate is checked with.
    authority: String,
    _files: tempfile::TempDir,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pebble {
    /// Starts one that looks for answers at these ports of ours.
    fn start(tls_port: u16, http_port: u16) -> Self {
        let binary = std::env::var("PEBBLE").expect("PEBBLE names the authority's program");
        let files = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let [cert_path, key_path, config_path] =
            ["cert.pem", "key.pem", "config.json"].map(|name| files.path().join(name));
        std::fs::write(&cert_path, certificate.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        let (listen, management) = (free_address(), free_address());
        let config = json!({"pebble": {
            "listenAddress": listen.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": cert_path,
            "privateKey": key_path,
            "httpPort": http_port,
            "tlsPort": tls_port,
        }});
        std::fs::write(&config_path, config.to_string()).unwrap();
        let child = Command::new(binary)
            .arg("-config")
            .arg(&config_path)
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the authority's program");
        let directory = format!("https://{listen}/dir");
        let pebble = Self { child, directory, management, authority: authority.pem(), _files: files };
        until("the authority", || TcpStream::connect(listen).ok());
        pebble
    }

    /// What certificates that it issues are checked with.
    fn root(&self) -> CertificateDer<'static> {
        let mut stream =
            handshake(self.management, "127.0.0.1", &self.authority).expect("its management port");
        write!(stream, "GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        // It ends without a farewell.
        let _ = stream.read_to_string(&mut answer);
        CertificateDer::from_pem_slice(answer.as_bytes()).expect("a root")
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(POLL);
    }
}

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands with whoever shows a certificate of this authority for `name`.
fn handshake(address: SocketAddr, name: &str, authority: &str) -> Result<Encrypted, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    handshake_with(address, name, roots)
}

fn handshake_with(
    address: SocketAddr,
    name: &str,
    roots: RootCertStore,
) -> Result<Encrypted, std::io::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.sock.set_read_timeout(Some(PATIENCE))?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

struct Served {
    process: Process,
    address: SocketAddr,
}

fn serve(pebble: &Pebble, tls_port: u16, http_port: Option<u16>, cache: &Path) -> Served {
    let internal = free_address();
    let config = json!({
        "http_server": {
            "port": tls_port,
            "internal_port": internal.port().to_string(),
            "tls_external": true,
            "tls_autocert": {
                "enabled": true,
                "host_whitelist": ["localhost"],
                "cache_dir": cache,
                "email": "operator@example.com",
                "http": http_port.is_some(),
                "http_addr": format!(":{}", http_port.unwrap_or(80)),
                "directory_url": pebble.directory,
                "directory_ca_pem": pebble.authority,
            },
        },
    });
    let process = Process::try_start_at(internal, &config).expect("a server that starts");
    Served { process, address: SocketAddr::from(([127, 0, 0, 1], tls_port)) }
}

impl Served {
    /// The certificate that clients get, once there is one they trust.
    fn certificate(&self, roots: &RootCertStore) -> CertificateDer<'static> {
        let stream = until("a certificate", || {
            let stream = handshake_with(self.address, "localhost", roots.clone()).ok();
            assert!(stream.is_some() || self.process.log().is_empty(), "{}", self.process.log());
            stream
        });
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first).cloned();
        shown.expect("a certificate")
    }
}

fn is_obtained_and_kept(over_http: bool) {
    let (tls_port, http_port) = (free_address().port(), free_address().port());
    let pebble = Pebble::start(tls_port, http_port);
    let cache = tempfile::tempdir().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(pebble.root()).unwrap();
    let served = serve(&pebble, tls_port, over_http.then_some(http_port), cache.path());
    let obtained = served.certificate(&roots);
    assert!(handshake_with(served.address, "other.example", roots.clone()).is_err());
    let mut stream = handshake_with(served.address, "localhost", roots.clone()).unwrap();
    write!(stream, "GET /nothing HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
    // The order is kept after it is presented.
    until("a file", || cache.path().join("localhost").exists().then_some(()));
    assert_eq!(served.process.log(), "");
    drop(served);
    // The next start needs no authority.
    let server = {
        let again = serve(&pebble, tls_port, over_http.then_some(http_port), cache.path());
        drop(pebble);
        again
    };
    assert_eq!(server.certificate(&roots), obtained);
    assert_eq!(server.process.log(), "");
}

#[test]
#[ignore = "needs Pebble, which PEBBLE names"]
fn certificates_are_obtained_by_handshakes() {
    is_obtained_and_kept(false);
}

#[test]
#[ignore = "needs Pebble, which PEBBLE names"]
fn certificates_are_obtained_over_http() {
    is_obtained_and_kept(true);
}
