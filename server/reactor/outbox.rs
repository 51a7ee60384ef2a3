//! What waits to be written to one peer.

use super::delivery::Frame;
use super::socket::Socket;
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
    /// The socket takes no more for now; some bytes may have gone.
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

    /// Drops what waits, except the rest of a frame that has begun.
    pub(super) fn discard(&mut self) {
        let keep = usize::from(self.written > 0);
        self.frames.truncate(keep);
        self.bytes = self.frames.iter().map(|frame| frame.len()).sum::<usize>() - self.written;
    }

    /// Writes as much as the socket takes. Several small frames leave in one call.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(super) fn flush(&mut self, socket: &mut Socket, scratch: &mut Vec<u8>) -> io::Result<Flushed> {
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
