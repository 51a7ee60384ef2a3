//! Opening UDP sockets for QUIC.

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn::{Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The protocol that peers agree to.
const ALPN: &[u8] = b"h3";
/// Requests and streams one connection may have under way.
const CONCURRENT_STREAMS: VarInt = VarInt::from_u32(128);
/// Streams that only the peer writes: one for control and two for header fields, and some that are refused.
const ONE_WAY_STREAMS: VarInt = VarInt::from_u32(16);
/// What a peer may send ahead of us, of a stream and in all, and what we send ahead of it, in bytes.
const STREAM_WINDOW: VarInt = VarInt::from_u32(1 << 20);
const CONNECTION_WINDOW: VarInt = VarInt::from_u32(4 << 20);
const SEND_WINDOW: u64 = 1 << 20;
/// Datagrams are announced, because browsers want it for sessions, and not read: the oldest go when this is full.
const DATAGRAMS: usize = 4 * 1024;
/// Milliseconds after which a connection is gone that nothing came from.
const IDLE_TIMEOUT: VarInt = VarInt::from_u32(60_000);

/// Why an endpoint could not be opened. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// The TLS configuration cannot do what QUIC needs.
    #[error("use TLS 1.3 for QUIC")]
    Tls(#[from] NoInitialCipherSuite),
    /// The address cannot be used.
    #[error("listen on UDP {address}")]
    Bind {
        /// Address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens an endpoint at `address` that presents what `tls` says.
///
/// # Errors
/// See [`QuicError`].
///
/// # Panics
/// When called outside of a tokio runtime.
pub fn quic_endpoint(address: SocketAddr, tls: &rustls::ServerConfig) -> Result<Endpoint, QuicError> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport()));
    let bound = bind(address).and_then(|socket| {
        Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
    });
    bound.map_err(|source| QuicError::Bind { address, source })
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(CONCURRENT_STREAMS)
        .max_concurrent_uni_streams(ONE_WAY_STREAMS)
        .stream_receive_window(STREAM_WINDOW)
        .receive_window(CONNECTION_WINDOW)
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS)
        .max_idle_timeout(Some(IdleTimeout::from(IDLE_TIMEOUT)));
    transport
}

fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address == SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())) {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}
