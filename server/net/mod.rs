//! Sockets, TLS and what proxies in front of us say about peers. Knows no domain words.

mod accept;
mod body;
mod client_tls;
mod forwarded;
mod grpc;
mod listen;
mod streams;
mod tls;
mod workers;

pub use accept::{Serving, serve};
pub use body::{Body, BodyError, read_body};
pub use client_tls::{ClientIdentity, ClientTlsError, client_config as tls_client_config};
pub use forwarded::client_address;
pub use grpc::{GrpcKind, grpc_call};
pub use listen::{ListenError, listen};
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
