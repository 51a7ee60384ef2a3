//! permessage-deflate without context takeover: one compressor and one decompressor per thread.
//!
//! Because no context outlives a message, a publication is compressed once for all subscribers.
//!
//! Source: RFC 7692 §7.

use super::frame::Violation;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The four bytes a sync flush ends with; senders cut them off, receivers put them back.
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Decompresses messages of peers.
pub struct Inflater {
    state: Option<Decompress>,
}

impl Inflater {
    /// Allocates nothing until the first compressed message.
    pub fn new() -> Self {
        Self { state: None }
    }

    /// Decompresses one message.
    ///
    /// # Errors
    /// [`Violation::TooBigInflated`] as soon as the output passes `limit`; [`Violation::Protocol`] for broken data.
    pub fn inflate(&mut self, compressed: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        state.reset(false);
        let mut out =
            Vec::with_capacity((compressed.len() * 4).clamp(256, limit.saturating_add(1).min(1 << 16)));
        for part in [compressed, &TAIL] {
            let start = state.total_in();
            loop {
                let used = (state.total_in() - start) as usize;
                let before = (state.total_in(), out.len());
                if out.len() == out.capacity() {
                    out.reserve(out.len().max(256));
                }
                let status = state
                    .decompress_vec(&part[used..], &mut out, FlushDecompress::Sync)
                    .map_err(|_| Violation::Protocol("broken compressed data"))?;
                if out.len() > limit {
                    return Err(Violation::TooBigInflated { limit });
                }
                if status == Status::StreamEnd {
                    return Ok(out);
                }
                let read_all = (state.total_in() - start) as usize == part.len();
                if read_all && out.len() < out.capacity() {
                    break;
                }
                if (state.total_in(), out.len()) == before && out.len() < out.capacity() {
                    return Err(Violation::Protocol("broken compressed data"));
                }
            }
        }
        Ok(out)
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

/// Compresses messages for peers.
pub struct Deflater {
    level: u32,
    state: Option<Compress>,
}

impl Deflater {
    /// Allocates nothing until the first message; `level` is 0 to 9.
    pub fn new(level: u32) -> Self {
        Self { level: level.min(9), state: None }
    }

    /// Appends the compressed form of `message` to `out`.
    pub fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let level = Compression::new(self.level);
        let state = self.state.get_or_insert_with(|| Compress::new(level, false));
        state.reset();
        let mut used = 0;
        loop {
            out.reserve((message.len() - used) / 2 + 128);
            let room_left = {
                let before = state.total_in();
                // A fixed window and memory level leave the compressor no way to fail on valid arguments.
                let status = state.compress_vec(&message[used..], out, FlushCompress::Sync);
                debug_assert!(status.is_ok());
                used += (state.total_in() - before) as usize;
                out.len() < out.capacity()
            };
            if used == message.len() && room_left {
                break;
            }
        }
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deflated_inflates_again() {
        let mut deflater = Deflater::new(1);
        let mut inflater = Inflater::new();
        for message in [&b""[..], b"a", b"hello hello hello hello", &vec![7u8; 100_000]] {
            let mut out = Vec::new();
            deflater.deflate(message, &mut out);
            assert_eq!(inflater.inflate(&out, 1 << 20).unwrap(), message);
        }
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let mut out = Vec::new();
        Deflater::new(9).deflate(&vec![0u8; 10 << 20], &mut out);
        assert!(out.len() < 64 << 10);
        assert_eq!(Inflater::new().inflate(&out, 65536), Err(Violation::TooBigInflated { limit: 65536 }));
    }

    proptest::proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Inflater::new().inflate(&bytes, 4096);
        }

        #[test]
        fn round_trips(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..5000), level in 0u32..10) {
            let mut out = Vec::new();
            Deflater::new(level).deflate(&bytes, &mut out);
            proptest::prop_assert_eq!(Inflater::new().inflate(&out, 1 << 20).unwrap(), bytes);
        }
    }
}
