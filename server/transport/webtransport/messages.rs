//! Cutting what a peer sends into messages: lines of JSON, or Protobuf messages behind their lengths.
//!
//! Source: row WT-2 of the protocol.

use crate::protocol::Encoding;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read at a time.
const READ: usize = 4 * 1024;
/// Bytes of the longest length before a Protobuf message.
const MAX_PREFIX: usize = 10;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is longer than allowed.
    #[error("message is too long")]
    TooLong,
    /// What the peer sends is no sequence of messages.
    #[error("length of a message is malformed")]
    Malformed,
    /// The stream was cut off.
    #[error("stream was cut off")]
    Lost,
}

/// The messages of one stream.
pub struct Messages<S> {
    stream: S,
    encoding: Encoding,
    limit: usize,
    /// What has arrived of the next message; nothing is held for a peer that says nothing.
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Messages<S> {
    /// Cuts `stream` into messages of at most `limit` bytes each.
    pub fn new(stream: S, encoding: Encoding, limit: usize) -> Self {
        Self { stream, encoding, limit, buffer: BytesMut::new() }
    }

    /// Waits for the next message, in the form in which it stands in a frame of commands; none at the end. The last
    /// line may lack its end.
    ///
    /// # Errors
    /// See [`MessageError`]; there is no going on after one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, MessageError> {
        let mut seen = 0;
        loop {
            if let Some(message) = self.take(seen)? {
                return Ok(Some(message));
            }
            seen = self.buffer.len();
            self.buffer.reserve(READ);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) if seen == 0 => return Ok(None),
                Ok(0) if self.encoding == Encoding::Json => {
                    return Ok(Some(std::mem::take(&mut self.buffer).freeze()));
                }
                Ok(0) | Err(_) => return Err(MessageError::Lost),
                Ok(_) => {}
            }
        }
    }

    /// Takes a message out of the buffer if it is complete; its first `seen` bytes were looked at before.
    fn take(&mut self, seen: usize) -> Result<Option<Bytes>, MessageError> {
        let Some(Place { message, all }) = self.find(seen)? else { return Ok(None) };
        let mut bytes = self.buffer.split_to(all);
        bytes.truncate(message);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(Some(bytes.freeze()))
    }

    fn find(&self, seen: usize) -> Result<Option<Place>, MessageError> {
        let arrived = self.buffer.len();
        let (message, place) = match self.encoding {
            Encoding::Json => {
                let end = memchr::memchr(b'\n', &self.buffer[seen..]).map(|at| seen + at);
                (end.unwrap_or(arrived), end.map(|end| Place { message: end, all: end + 1 }))
            }
            Encoding::Protobuf => {
                let Some((prefix, length)) = length(&self.buffer)? else { return Ok(None) };
                let length = usize::try_from(length).map_err(|_| MessageError::TooLong)?;
                let end = prefix.saturating_add(length);
                (length, (end <= arrived).then_some(Place { message: end, all: end }))
            }
        };
        if message > self.limit { Err(MessageError::TooLong) } else { Ok(place) }
    }
}

/// Where a message ends in the buffer, and where it does with what tells it from the next.
struct Place {
    message: usize,
    all: usize,
}

/// The length of the message at the beginning of `bytes`, after its own length in bytes; none when it is not
/// complete.
fn length(bytes: &[u8]) -> Result<Option<(usize, u64)>, MessageError> {
    let mut length = 0u64;
    for (at, byte) in bytes.iter().take(MAX_PREFIX).enumerate() {
        let part = u64::from(byte & 0x7f);
        if at == MAX_PREFIX - 1 && *byte > 1 {
            return Err(MessageError::Malformed);
        }
        length |= part << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((at + 1, length)));
        }
    }
    Ok(None)
}
