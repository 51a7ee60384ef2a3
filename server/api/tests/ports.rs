use super::client::{exchange, post, request};
use super::server::{Options, start};
use crate::net::{PemMaterial, TlsError, tls_server_config};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn everything_has_its_path() {
    let server = start(Options::default()).await;
    let health = request(server.address, "GET", "/health", &[], b"").await;
    assert_eq!((health.status, health.text()), (200, "{}"));
    assert_eq!(health.headers["content-type"], "application/json");
    assert_eq!(request(server.address, "DELETE", "/health", &[], b"").await.status, 200);

    let metrics = request(server.address, "GET", "/metrics", &[("Accept", "*/*")], b"").await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.text().contains("centrifugo_node_num_clients 3\n"), "{}", metrics.text());

    let client = request(server.address, "GET", "/connection/websocket", &[], b"").await;
    assert_eq!(client.text(), "GET 127.0.0.1");
    assert_eq!(request(server.address, "GET", "/nothing", &[], b"").await.status, 404);
}

#[tokio::test]
async fn the_explorer_is_complete_and_loads_nothing_else() {
    let server = start(Options::default()).await;
    let moved = request(server.address, "GET", "/swagger", &[], b"").await;
    assert_eq!((moved.status, &*moved.headers["location"]), (301, "/swagger/"));
    let page = request(server.address, "GET", "/swagger/", &[], b"").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.headers["content-security-policy"].contains("default-src 'none'"));
    for file in ["page.js", "page.css", "openapi.json"] {
        assert!(page.text().contains(file), "{file}");
        let answer = request(server.address, "GET", &format!("/swagger/{file}"), &[], b"").await;
        assert_eq!(answer.status, 200, "{file}");
    }
    assert!(!page.text().contains("//"), "no address of another host");
    let document = request(server.address, "GET", "/swagger/openapi.json", &[], b"").await;
    let document: serde_json::Value = serde_json::from_slice(&document.body).expect("JSON");
    assert!(document["paths"]["/api/publish"]["post"].is_object(), "{document}");
    assert_eq!(request(server.address, "GET", "/swagger/x", &[], b"").await.status, 404);
}

#[tokio::test]
async fn requests_are_counted_by_configured_path() {
    let server = start(Options { count_requests: true, ..Options::default() }).await;
    post(server.address, "/api/info", "{}").await;
    request(server.address, "BREW", "/made/up", &[], b"").await;
    request(server.address, "GET", "/swagger/x/y", &[], b"").await;
    let metrics = server.metrics();
    for line in [
        r#"centrifugo_node_incoming_http_requests_total{path="/api/info",method="POST",status="200"} 1"#,
        r#"centrifugo_node_incoming_http_requests_total{path="other",method="other",status="404"} 1"#,
        r#"centrifugo_node_incoming_http_requests_total{path="/swagger/",method="GET",status="404"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn connections_are_kept_for_more_requests() {
    let server = start(Options::default()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    for _ in 0..3 {
        let body = r#"{"channel":"news","data":1}"#;
        let request =
            format!("POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut bytes = Vec::new();
        while !bytes.ends_with(br#"{"result":{}}"#) {
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).await.expect("an answer");
            assert!(read > 0, "closed");
            bytes.extend_from_slice(&chunk[..read]);
        }
    }
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_the_listener() {
    let server = start(Options::default()).await;
    let address = server.address;
    let mut idle = TcpStream::connect(address).await.expect("connected");
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut bytes = [0; 1024];
    assert!(idle.read(&mut bytes).await.expect("an answer") > 0);
    server.stop().await;
    assert_eq!(idle.read(&mut bytes).await.expect("closed"), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_without_a_word() {
    let server = start(Options::default()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut bytes = Vec::new();
    // Time is paused: the wait ends as soon as nothing but timers is left.
    stream.read_to_end(&mut bytes).await.expect("closed");
    assert!(bytes.ends_with(b"{}"), "{}", String::from_utf8_lossy(&bytes));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_no_request_is_closed() {
    let server = start(Options::default()).await;
    for sent in [&b""[..], b"POST /api/publish HTTP/1.1\r\nHost"] {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        stream.write_all(sent).await.expect("sent");
        let mut bytes = Vec::new();
        // Time is paused: the wait ends as soon as nothing but timers is left.
        let _ = stream.read_to_end(&mut bytes).await;
        assert!(!String::from_utf8_lossy(&bytes).contains(" 200 "));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up() {
    let server = start(Options::default()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let head = "POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 408");
}

struct Identity {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

fn identity() -> Identity {
    let key = rcgen::KeyPair::generate().expect("a key");
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    Identity { certificate, key }
}

fn material(identity: &Identity, client_authorities: Option<&Identity>) -> PemMaterial {
    PemMaterial {
        certificates: identity.certificate.pem().into_bytes(),
        key: identity.key.serialize_pem().into_bytes(),
        client_authorities: client_authorities.map(|authority| authority.certificate.pem().into_bytes()),
    }
}

async fn connect(
    address: std::net::SocketAddr,
    server: &Identity,
    client: Option<&Identity>,
    protocol: &[u8],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.certificate.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let chain = vec![CertificateDer::from(client.certificate.der().to_vec())];
            let key = PrivateKeyDer::try_from(client.key.serialize_der()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("an identity")
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn tls_serves_both_http_versions() {
    let identity = identity();
    let tls = tls_server_config(&material(&identity, None)).expect("usable");
    let server = start(Options { tls: Some(tls), ..Options::default() }).await;
    let stream = connect(server.address, &identity, None, b"http/1.1").await.expect("a handshake");
    let answer = exchange(stream, "POST", "/api/publish", &[], br#"{"channel":"news","data":1}"#).await;
    assert_eq!(answer.text(), r#"{"result":{}}"#);
    let stream = connect(server.address, &identity, None, b"h2").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn client_certificates_are_required_when_configured() {
    let (identity, client, stranger) = (identity(), identity(), identity());
    let tls = tls_server_config(&material(&identity, Some(&client))).expect("usable");
    let server = start(Options { tls: Some(tls), ..Options::default() }).await;
    let stream = connect(server.address, &identity, Some(&client), b"http/1.1").await.expect("a handshake");
    assert_eq!(exchange(stream, "GET", "/health", &[], b"").await.text(), "{}");
    for wrong in [None, Some(&stranger)] {
        // In TLS 1.3 the client learns of the refusal when it reads.
        if let Ok(mut stream) = connect(server.address, &identity, wrong, b"http/1.1").await {
            let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let mut bytes = Vec::new();
            assert!(stream.read_to_end(&mut bytes).await.is_err() || bytes.is_empty());
        }
    }
}

#[test]
fn unusable_tls_material_is_named() {
    let identity = identity();
    let good = material(&identity, None);
    let other = material(&super::ports::identity(), None);
    let broken = PemMaterial { key: b"nothing".to_vec(), ..good.clone() };
    assert!(matches!(tls_server_config(&broken), Err(TlsError::Pem { what: "private key", .. })));
    let empty = PemMaterial { certificates: Vec::new(), ..good.clone() };
    assert!(matches!(tls_server_config(&empty), Err(TlsError::NoCertificate { .. })));
    let mixed = PemMaterial { key: other.key, ..good };
    assert!(matches!(tls_server_config(&mixed), Err(TlsError::Identity(_))));
}
