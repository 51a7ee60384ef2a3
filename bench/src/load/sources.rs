//! Spreads connections over loopback source addresses, because one address has only so many ephemeral ports.

use anyhow::{Context, Result};
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};

const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Used where the range cannot be read: the kernel's default, 32768 to 60999.
const DEFAULT_PORTS: usize = 28_232;
const HIGHEST_SOURCE: usize = 250;

/// Opens connections to one address.
pub struct Sources {
    per_source: usize,
    opened: usize,
}

impl Sources {
    pub fn new() -> Self {
        let ports = std::fs::read_to_string(PORT_RANGE).ok().and_then(|text| {
            let mut bounds = text.split_whitespace().map(str::parse::<usize>);
            let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
            high.checked_sub(low)
        });
        // A quarter stays free for sockets that linger from earlier runs.
        Self { per_source: (ports.unwrap_or(DEFAULT_PORTS) * 3 / 4).max(1), opened: 0 }
    }

    /// Starts connecting; the socket becomes writable when it is connected.
    pub fn connect(&mut self, address: SocketAddr) -> Result<TcpStream> {
        let source = self.opened / self.per_source;
        self.opened += 1;
        let stream = if source == 0 || !address.ip().is_loopback() || address.is_ipv6() {
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?
        } else {
            let host = Ipv4Addr::new(127, 0, 0, (1 + source.min(HIGHEST_SOURCE)) as u8);
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
            socket.bind(&SocketAddr::from((host, 0)).into()).with_context(|| format!("bind to {host}"))?;
            // A connect on a non-blocking socket reports that it is in progress.
            if let Err(error) = socket.connect(&address.into())
                && error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error())
            {
                return Err(error).with_context(|| format!("connect from {host} to {address}"));
            }
            TcpStream::from_std(socket.into())
        };
        Ok(stream)
    }
}
