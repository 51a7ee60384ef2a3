//! What waits to be written to one peer.

use super::body::{self, Pipe};
use super::delivery::Frame;
use super::link::Link;
use super::socket::Socket;
use bytes::Bytes;
use smallvec::SmallVec;
use std::io;

/// Messages up to this size are copied together; longer ones are written from where they are.
const COALESCE: usize = 16 * 1024;

/// Frames in the order they will be written. Empty between loop turns unless the peer is slow, and then
/// without memory of its own.
#[derive(Default)]
pub(super) struct Outbox {
    frames: SmallVec<[Frame; 1]>,
    /// Bytes of the first frame that are written already.
    written: usize,
    bytes: usize,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing waits.
    All,
    /// The link takes no more for now; some bytes may have gone.
    Blocked {
        /// Whether any byte went.
        progress: bool,
    },
}

impl Outbox {
    /// Adds a frame and returns how many bytes wait.
    pub(super) fn push(&mut self, frame: Frame) -> usize {
        self.bytes += frame.len();
        self.frames.push(frame);
        self.bytes
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frames that wait.
    #[cfg(test)]
    pub(super) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Drops what waits, except the rest of a frame that has begun.
    pub(super) fn discard(&mut self) {
        let keep = usize::from(self.written > 0);
        self.frames.truncate(keep);
        self.bytes = self.frames.iter().map(|frame| frame.len()).sum::<usize>() - self.written;
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Writes as much as the link takes.
    ///
    /// # Errors
    /// When the link is broken.
    pub(super) fn flush(&mut self, link: &mut Link, scratch: &mut Vec<u8>) -> io::Result<Flushed> {
        match link {
            Link::Socket(socket) => self.write(socket, scratch),
            Link::Body(pipe) => Ok(self.fill(pipe)),
        }
    }

    /// Offers one chunk of as many frames as fit.
    fn fill(&mut self, pipe: &Pipe) -> Flushed {
        let Some(first) = self.frames.first() else { return Flushed::All };
        if !pipe.is_free() {
            return Flushed::Blocked { progress: false };
        }
        let mut chunk = Vec::with_capacity(self.bytes.min(body::CHUNK).max(first.len()));
        for frame in &self.frames {
            if !chunk.is_empty() && chunk.len() + frame.len() > body::CHUNK {
                break;
            }
            chunk.extend_from_slice(frame);
        }
        self.advance(chunk.len());
        pipe.offer(Bytes::from(chunk), !self.frames.is_empty());
        if self.frames.is_empty() { Flushed::All } else { Flushed::Blocked { progress: true } }
    }

    /// Writes as much as the socket takes. Several small frames leave in one call.
    fn write(&mut self, socket: &mut Socket, scratch: &mut Vec<u8>) -> io::Result<Flushed> {
        let mut progress = false;
        while let Some(first) = self.frames.first() {
            let sent = if self.frames.len() == 1 || first.len() - self.written >= COALESCE {
                socket.write(&first[self.written..])
            } else {
                scratch.clear();
                scratch.extend_from_slice(&first[self.written..]);
                for frame in &self.frames[1..] {
                    if scratch.len() + frame.len() > COALESCE {
                        break;
                    }
                    scratch.extend_from_slice(frame);
                }
                socket.write(scratch)
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    progress = true;
                    self.advance(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked { progress });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::All)
    }

    fn advance(&mut self, sent: usize) {
        self.bytes -= sent;
        let mut left = self.written + sent;
        let mut done = 0;
        for frame in &self.frames {
            if left < frame.len() {
                break;
            }
            left -= frame.len();
            done += 1;
        }
        self.written = left;
        if done == self.frames.len() {
            self.frames = SmallVec::new();
        } else {
            self.frames.drain(..done);
        }
    }
}
