//! Restores messages that a server compressed one by one, as permessage-deflate without context takeover does.

use anyhow::{Context, Result, bail};
use flate2::{Decompress, FlushDecompress};

/// The end of each message that stays off the wire.
///
/// Source: RFC 7692, section 7.2.2.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Longest message accepted from a server.
const MAX_MESSAGE: usize = 16 << 20;

/// Inflates messages; keeps its window and its output buffer between calls.
pub struct Inflater {
    state: Decompress,
    out: Vec<u8>,
}

impl Inflater {
    pub fn new() -> Self {
        Self { state: Decompress::new(false), out: Vec::with_capacity(4 << 10) }
    }

    /// Returns the message whose compressed form is `payload`.
    ///
    /// # Errors
    /// For bytes that are no deflate stream, or one of more than 16 MiB.
    pub fn inflate(&mut self, payload: &[u8]) -> Result<&[u8]> {
        self.state.reset(false);
        self.out.clear();
        self.feed(payload)?;
        self.feed(&TAIL)?;
        Ok(&self.out)
    }

    fn feed(&mut self, input: &[u8]) -> Result<()> {
        let before = self.state.total_in();
        loop {
            let used = (self.state.total_in() - before) as usize;
            self.state
                .decompress_vec(&input[used..], &mut self.out, FlushDecompress::Sync)
                .context("inflate a frame")?;
            let used = (self.state.total_in() - before) as usize;
            // A buffer that is not full has got everything there was.
            if used == input.len() && self.out.len() < self.out.capacity() {
                return Ok(());
            }
            if self.out.len() < self.out.capacity() {
                bail!("compressed frame ends {} bytes before its payload does", input.len() - used);
            }
            if self.out.len() > MAX_MESSAGE {
                bail!("frame inflates to more than {MAX_MESSAGE} bytes");
            }
            self.out.reserve(self.out.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn deflate(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 100);
        Compress::new(Compression::fast(), false)
            .compress_vec(message, &mut out, FlushCompress::Sync)
            .expect("room enough");
        out.strip_suffix(&TAIL).expect("a flushed stream ends so").to_vec()
    }

    #[test]
    fn messages_of_any_size_are_restored_one_by_one() {
        let mut inflater = Inflater::new();
        for size in [0usize, 1, 100, 4 << 10, 100_000] {
            let message: Vec<u8> = (0..size).map(|index| (index * index % 251) as u8).collect();
            assert_eq!(inflater.inflate(&deflate(&message)).expect("valid"), message, "size {size}");
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(Inflater::new().inflate(&[0xff; 20]).is_err());
    }
}
