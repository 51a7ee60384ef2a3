//! Opening listening sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use tokio::net::TcpListener;

/// Connections the system holds for us until they are accepted. Reconnect storms are large;
/// the system caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Why a listener could not be opened. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host has no address.
    #[error("resolve listen address {host}:{port}")]
    Resolve {
        /// Host as configured.
        host: String,
        /// Port as configured.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be used.
    #[error("listen on {address}")]
    Bind {
        /// Address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address of an open socket is not known.
    #[error("ask for the address that was opened")]
    Address(#[source] io::Error),
}

/// Listens on `host` and `port`; the empty host means every address of both families, port 0 a free one.
///
/// # Errors
/// See [`ListenError`].
///
/// # Panics
/// When called outside of a tokio runtime.
pub fn listen(host: &str, port: u16) -> Result<TcpListener, ListenError> {
    if host.is_empty() {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        // Machines without IPv6 refuse the first.
        return open(all).or_else(|_| bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))));
    }
    let resolve = |source| ListenError::Resolve { host: host.to_owned(), port, source };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let mut addresses = (bare, port).to_socket_addrs().map_err(resolve)?;
    let address = addresses.next().ok_or_else(|| resolve(io::ErrorKind::NotFound.into()))?;
    bind(address)
}

fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    open(address).map_err(|source| ListenError::Bind { address, source })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address == SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())) {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_empty_host_listens_on_both_families() {
        let listener = listen("", 0).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("reachable");
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = listen("127.0.0.1", 0).expect("a port");
        let port = first.local_addr().expect("bound").port();
        let error = listen("127.0.0.1", port).expect_err("taken");
        assert_eq!(error.to_string(), format!("listen on 127.0.0.1:{port}"));
        assert!(matches!(listen("[::1", 1), Err(ListenError::Resolve { .. })));
    }
}
