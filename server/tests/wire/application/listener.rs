//! Where the application listens, with TLS or without.

use std::future::Future;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::net::Stream;

pub(super) struct Listener {
    socket: std::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
}

/// A connection of the server under test.
pub(super) struct Peer {
    pub stream: Box<dyn Stream>,
    /// It showed a certificate that the application trusts.
    pub certificate: bool,
    /// TLS agreed on HTTP/2.
    pub http2: bool,
}

impl Listener {
    /// Listens on a free port of the loopback interface; also tells its address.
    pub fn open(tls: Option<Arc<ServerConfig>>) -> (Self, String) {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
        socket.set_nonblocking(true).expect("sockets can be non-blocking");
        let address = socket.local_addr().expect("a bound socket has an address").to_string();
        (Self { socket, acceptor: tls.map(TlsAcceptor::from) }, address)
    }

    /// Serves each connection in a task of its own.
    pub async fn serve<F>(self, serve: impl Fn(Peer) -> F + Clone + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::from_std(self.socket).expect("the socket is non-blocking");
        while let Ok((socket, _)) = listener.accept().await {
            let (serve, acceptor) = (serve.clone(), self.acceptor.clone());
            tokio::spawn(async move {
                // A peer that does not trust us ends the handshake.
                if let Some(peer) = accept(socket, acceptor).await {
                    serve(peer).await;
                }
            });
        }
    }
}

async fn accept(socket: TcpStream, acceptor: Option<TlsAcceptor>) -> Option<Peer> {
    let Some(acceptor) = acceptor else {
        return Some(Peer { stream: Box::new(socket), certificate: false, http2: false });
    };
    let stream = acceptor.accept(socket).await.ok()?;
    let session = stream.get_ref().1;
    let (certificate, http2) =
        (session.peer_certificates().is_some(), session.alpn_protocol() == Some(b"h2"));
    Some(Peer { stream: Box::new(stream), certificate, http2 })
}
