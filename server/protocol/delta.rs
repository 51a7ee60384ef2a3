//! Fossil deltas: what changed between two payloads, as subscribers with `delta: "fossil"` read it.
//!
//! A delta is text around raw bytes: the size of the result, then commands that copy from the previous
//! payload (`<count>@<offset>,`) or insert new bytes (`<count>:<bytes>`), then the checksum of the
//! result (`<sum>;`). Numbers are written with 64 digits. A delta between two texts is itself valid
//! UTF-8, because the JSON protocol carries it in a string: no command begins or ends inside a character.
//!
//! Source: the delta format of the Fossil version control system.

mod apply;
mod create;
#[cfg(test)]
mod tests;

pub use apply::{DeltaError, apply};
pub use create::create;

/// Digits of numbers, smallest first. They are not those of base64.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Sums the payload as big-endian words, the last one filled up with zeros.
fn checksum(payload: &[u8]) -> u32 {
    let (words, rest) = payload.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words
        .iter()
        .chain(std::iter::once(&last))
        .map(|word| u32::from_be_bytes(*word))
        .fold(0, u32::wrapping_add)
}
