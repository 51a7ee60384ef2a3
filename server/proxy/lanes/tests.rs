//! Calls of applications that speak TLS.

use super::super::allowance::Allowance;
use super::super::http::HttpBackend;
use super::super::settings::{HttpSettings, ProtocolSettings, ProxySettings};
use super::*;
use crate::net::{ClientIdentity, tls_client_config};
use futures_util::future::join_all;
use http::{HeaderMap, Version};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};
use tokio_rustls::TlsAcceptor;

/// An application and what it has seen: the connection and version of each request.
struct Application {
    seen: parking_lot::Mutex<Vec<(usize, Version)>>,
    /// Answers wait until so many calls are there.
    together: Barrier,
    /// This connection ends with its first request.
    cuts: Option<usize>,
}

impl Application {
    /// Listens and returns a backend that trusts it.
    async fn start(protocols: &[&[u8]], together: usize, cuts: Option<usize>) -> (Arc<Self>, HttpBackend) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://localhost:{}/ask", listener.local_addr().unwrap().port());
        let application = Arc::new(Self { seen: Default::default(), together: Barrier::new(together), cuts });
        tokio::spawn(application.clone().serve(listener, TlsAcceptor::from(Arc::new(config))));
        (application, backend(endpoint, cert.pem()))
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor) {
        for number in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            let (application, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                // A connection that lost the race for being the first of HTTP/2 ends here.
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let cut = Arc::new(Notify::new());
                let service = service_fn(|request: Request<Incoming>| {
                    let (application, cut) = (application.clone(), cut.clone());
                    async move {
                        application.seen.lock().push((number, request.version()));
                        if application.cuts == Some(number) {
                            cut.notify_one();
                            std::future::pending().await
                        }
                        application.together.wait().await;
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
                    }
                });
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().max_concurrent_streams(u32::try_from(CALLS).unwrap());
                let connection = server.serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    () = cut.notified() => {}
                }
            });
        }
    }
}

fn backend(endpoint: String, authority: String) -> HttpBackend {
    let identity = ClientIdentity { authorities: Some(authority), ..ClientIdentity::default() };
    let tls = TlsSettings { config: tls_client_config(&identity).unwrap(), server_name: None };
    let http = HttpSettings { tls: tls.clone(), static_headers: Vec::new(), refusals: Vec::new() };
    let settings = ProxySettings {
        section: "test".to_owned(),
        endpoint,
        timeout: Duration::from_secs(20),
        http_headers: Vec::new(),
        grpc_metadata: Vec::new(),
        emulated_headers: Vec::new(),
        binary_encoding: false,
        include_connection_meta: false,
        protocol: ProtocolSettings::Http(http),
    };
    HttpBackend::new(&settings, &tls).unwrap()
}

async fn ask(backend: &HttpBackend) -> Bytes {
    let mut room = Allowance::new().room(Duration::ZERO);
    backend.post(HeaderMap::new(), Bytes::from_static(b"{}"), true, &mut room).await.unwrap()
}

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

#[tokio::test]
async fn http2_is_spoken_with_who_offers_it_and_calls_beyond_its_streams_get_another_connection() {
    let calls = CALLS + 20;
    let (application, backend) = Application::start(BOTH, calls, None).await;
    for answer in join_all((0..calls).map(|_| ask(&backend))).await {
        assert_eq!(answer, "{}");
    }
    let seen = application.seen.lock();
    assert!(seen.iter().all(|(_, version)| *version == Version::HTTP_2), "{seen:?}");
    let mut connections: Vec<usize> = seen.iter().map(|(connection, _)| *connection).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), 2);
}

#[tokio::test]
async fn http1_is_spoken_with_who_offers_nothing_else() {
    for protocols in [&[b"http/1.1".as_slice()][..], &[]] {
        let (application, backend) = Application::start(protocols, 1, None).await;
        assert_eq!(ask(&backend).await, "{}");
        assert_eq!(ask(&backend).await, "{}");
        assert_eq!(*application.seen.lock(), [(0, Version::HTTP_11), (0, Version::HTTP_11)]);
    }
}

#[tokio::test]
async fn a_question_whose_connection_ends_without_an_answer_is_asked_once_more() {
    for protocols in [BOTH, &[]] {
        let (application, backend) = Application::start(protocols, 1, Some(0)).await;
        assert_eq!(ask(&backend).await, "{}");
        let connections: Vec<usize> = application.seen.lock().iter().map(|(at, _)| *at).collect();
        assert_eq!(connections, [0, 1]);
    }
}
