//! Watching the frames of a stream go by, so that no peer has the HTTP library collect a huge one.
//!
//! The library hands on the payload of DATA frames piece by piece, and collects all others whole, however long
//! they say they are.
//!
//! Source: RFC 9114 §7.1.

use super::varint;

/// Type of frames that are not collected.
const DATA: u64 = 0;

/// Bytes of the longest frame that is collected; header fields that are longer are answered with 431 anyway.
pub(super) const LIMIT: u64 = 96 * 1024;

/// Follows one stream.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Type and length, as far as they came.
    head: [u8; 2 * varint::MAX],
    known: usize,
    /// Bytes of the payload that are still to come.
    payload: u64,
}

/// A frame is longer than [`LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {0} bytes is too long")]
pub(super) struct TooLong(u64);

impl Frames {
    /// Takes note of what the stream brought next.
    ///
    /// # Errors
    /// [`TooLong`].
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let passed = self.payload.min(bytes.len() as u64);
                self.payload -= passed;
                bytes = &bytes[passed as usize..];
                continue;
            }
            self.head[self.known] = *first;
            self.known += 1;
            bytes = rest;
            let Some((kind, rest)) = varint::read(&self.head[..self.known]) else { continue };
            let Some((length, _)) = varint::read(rest) else { continue };
            if kind != DATA && length > LIMIT {
                return Err(TooLong(length));
            }
            (self.known, self.payload) = (0, length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u64, length: u64, payload: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        varint::write(kind, &mut bytes);
        varint::write(length, &mut bytes);
        bytes.resize(bytes.len() + payload, 0xff);
        bytes
    }

    #[test]
    fn only_what_is_collected_is_limited() {
        let stream = [frame(1, 300, 300), frame(0, 1 << 40, 0)].concat();
        assert_eq!(Frames::default().pass(&stream), Ok(()));
        assert_eq!(Frames::default().pass(&frame(1, LIMIT, 0)), Ok(()));
        assert_eq!(Frames::default().pass(&frame(1, LIMIT + 1, 0)), Err(TooLong(LIMIT + 1)));
        assert_eq!(Frames::default().pass(&frame(0x21, 1 << 50, 0)), Err(TooLong(1 << 50)));
    }

    #[test]
    fn frames_may_come_in_pieces() {
        let stream = [frame(0, 20_000, 20_000), frame(1, 1 << 20, 0)].concat();
        let mut frames = Frames::default();
        let refused = stream.chunks(1).position(|byte| frames.pass(byte).is_err());
        assert_eq!(refused, Some(stream.len() - 1));
    }
}
