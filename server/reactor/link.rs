//! What carries a connection's bytes.

use super::body::Pipe;
use super::socket::Socket;
use crate::session::Close;
use std::io;
use std::sync::Arc;

/// A socket the shard reads and writes, or a pipe to another thread that does.
pub(super) enum Link {
    Socket(Socket),
    Body(Arc<Pipe>),
}

impl Link {
    /// Writes records that TLS made by itself; true when none is left.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(super) fn flush_records(&mut self) -> io::Result<bool> {
        match self {
            Self::Socket(socket) => socket.flush_records(),
            Self::Body(_) => Ok(true),
        }
    }

    /// Tells the peer that nothing more will be written; reading goes on where that is possible.
    ///
    /// # Errors
    /// When the link cannot go on.
    pub(super) fn end_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.end_writing(),
            // The streams below end in order, so nothing is lost when both directions end at once.
            Self::Body(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Says why the server ends the connection, where the transport can carry it apart from messages.
    pub(super) fn set_close(&self, close: &Close) {
        if let Self::Body(pipe) = self {
            pipe.set_close(close.clone());
        }
    }

    /// Has the other side see that something is missing.
    pub(super) fn abort(&self) {
        if let Self::Body(pipe) = self {
            pipe.abort();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Self::Body(pipe) = self {
            pipe.end();
        }
    }
}
