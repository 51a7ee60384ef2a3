//! Sockets, TLS and what proxies in front of us say about peers. Knows no domain words.

mod accept;
mod acme;
mod body;
mod client_tls;
mod forwarded;
mod grpc;
mod http3;
mod listen;
mod retry;
mod streams;
mod tls;
mod workers;

pub use accept::{Serving, serve};
pub use acme::{AcmeError, AcmeSettings, AutomaticCertificates, ChallengePage, LETS_ENCRYPT};
pub use body::{Body, BodyError, RequestBody, read_body};
pub use client_tls::{ClientIdentity, ClientTlsError, client_config as tls_client_config};
pub use forwarded::client_address;
pub use grpc::{GrpcKind, grpc_call};
pub use http3::{QuicBody, QuicError, QuicServing, quic_endpoint, serve_http3};
pub use http3::{
    Session as WebTransportSession, Stream as WebTransportStream, Upgrade as WebTransportUpgrade,
};
pub use listen::{ListenError, listen};
pub use retry::{pause as retry_pause, retry_after};
pub use tls::{PemMaterial, TlsError, server_config as tls_server_config};
pub use workers::Workers;

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; a proxy's when one stands in between.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}
