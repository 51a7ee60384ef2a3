//! A socket, with or without TLS.

use mio::net::TcpStream;
use std::io::{self, Read, Write};
use std::net::Shutdown;

/// A non-blocking byte stream to one peer.
pub(super) enum Socket {
    Plain(TcpStream),
    /// Boxed: a TLS session is large, and most deployments end TLS in front of the server.
    Tls(Box<Tls>),
}

pub(super) struct Tls {
    stream: TcpStream,
    session: Box<rustls::ServerConnection>,
}

impl Socket {
    pub(super) fn tls(stream: TcpStream, session: Box<rustls::ServerConnection>) -> Self {
        Self::Tls(Box::new(Tls { stream, session }))
    }

    pub(super) fn stream_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &mut tls.stream,
        }
    }

    /// Reads what is there. `WouldBlock` when nothing is; zero at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Whether a short read proves that nothing more is there. Not under TLS, where records are buffered.
    pub(super) fn short_read_is_all(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Tells the peer that nothing more will be written; reading goes on.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(super) fn end_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(tls) => {
                tls.session.send_close_notify();
                tls.flush_records()?;
                tls.stream.shutdown(Shutdown::Write)
            }
        }
    }

    /// Writes records that TLS made by itself; true when none is left.
    pub(super) fn flush_records(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush_records(),
        }
    }
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.session.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            self.session.process_new_packets().map_err(io::Error::other)?;
            self.flush_records()?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Records that could not leave come first; taking more plaintext would hide the back pressure.
        if !self.flush_records()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.session.writer().write(bytes)?;
        match self.flush_records() {
            Ok(_) => Ok(taken),
            Err(error) => Err(error),
        }
    }

    fn flush_records(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
