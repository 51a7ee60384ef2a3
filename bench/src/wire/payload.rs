//! The stamp inside every publication: which channel, which sequence number, and when it was meant to be sent.
//!
//! The stamp is found by scanning for a marker, so that one cheap scan serves JSON and Protobuf messages alike: both
//! carry the payload bytes verbatim.

use memchr::memmem::Finder;
use std::io::Write;

const MARKER: &[u8] = b"\"gyre\":[";

/// Identity and intended send time of one publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index into the channel table of the run.
    pub channel: u32,
    /// Position within the channel, starting at 1.
    pub sequence: u64,
    /// When the open loop meant to send it, in nanoseconds of the run's clock.
    pub intended_ns: u64,
}

/// The form of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of JSON, unless the stamp alone is longer.
    pub size: usize,
    pub filling: Filling,
}

/// What stands in a payload besides its stamp.
#[derive(Clone, Copy, Debug)]
pub enum Filling {
    /// One letter again and again.
    Plain,
    /// Letters without a pattern, the same in every payload: compresses little by itself, and two publications of it
    /// differ by their stamps alone.
    Text,
}

/// Appends a JSON payload that carries `stamp`, padded to `size` bytes when the stamp itself is shorter.
pub fn write(stamp: Stamp, size: usize, out: &mut Vec<u8>) {
    write_shaped(stamp, Shape { size, filling: Filling::Plain }, out);
}

/// Appends a JSON payload of a given form that carries `stamp`.
pub fn write_shaped(stamp: Stamp, shape: Shape, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing to a vector cannot fail.
    let _ = write!(out, "{{\"gyre\":[{},{},{}],\"pad\":\"", stamp.channel, stamp.sequence, stamp.intended_ns);
    let missing = shape.size.saturating_sub(out.len() - start + 2);
    match shape.filling {
        Filling::Plain => out.resize(out.len() + missing, b'x'),
        Filling::Text => out.extend(letters().take(missing)),
    }
    out.extend_from_slice(b"\"}");
}

/// Letters in an order that has no pattern and never changes.
fn letters() -> impl Iterator<Item = u8> {
    // The generator of Marsaglia, "Xorshift RNGs", with the triple 13, 7, 17.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + (state % 26) as u8
    })
}

/// Finds stamps in received bytes.
pub struct Scanner(Finder<'static>);

impl Scanner {
    pub fn new() -> Self {
        Self(Finder::new(MARKER))
    }

    /// Returns the first stamp in `message`.
    pub fn find(&self, message: &[u8]) -> Option<Stamp> {
        let mut rest = message.get(self.0.find(message)? + MARKER.len()..)?;
        let channel = number(&mut rest, b',')?;
        let sequence = number(&mut rest, b',')?;
        let intended_ns = number(&mut rest, b']')?;
        Some(Stamp { channel: u32::try_from(channel).ok()?, sequence, intended_ns })
    }
}

fn number(rest: &mut &[u8], end: u8) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in rest.iter().enumerate() {
        if byte == end {
            *rest = &rest[index + 1..];
            return (index > 0).then_some(value);
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_stamp_is_found_and_padded_to_size() {
        let stamp = Stamp { channel: 7, sequence: 42, intended_ns: 1_234_567_890 };
        let mut out = b"{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":".to_vec();
        let start = out.len();
        write(stamp, 100, &mut out);
        assert_eq!(out.len() - start, 100);
        out.extend_from_slice(b"}}}");
        assert_eq!(Scanner::new().find(&out), Some(stamp));
        serde_json::from_slice::<serde_json::Value>(&out).expect("payload is valid JSON");
    }

    #[test]
    fn payloads_of_text_differ_by_their_stamps_alone() {
        let written = |sequence| {
            let mut out = Vec::new();
            let stamp = Stamp { channel: 1, sequence, intended_ns: 5 };
            write_shaped(stamp, Shape { size: 300, filling: Filling::Text }, &mut out);
            out
        };
        let (first, second) = (written(1), written(2));
        assert_eq!((first.len(), second.len()), (300, 300));
        assert_eq!(first.iter().zip(&second).filter(|(one, other)| one != other).count(), 1);
        assert!(memchr::memmem::find(&first, b"xxxx").is_none());
        serde_json::from_slice::<serde_json::Value>(&first).expect("payload is valid JSON");
    }

    #[test]
    fn a_cut_or_foreign_stamp_is_not_found() {
        let scanner = Scanner::new();
        for text in
            ["", "{}", "\"gyre\":[1,2", "\"gyre\":[1,,3]", "\"gyre\":[1,2x,3]", "\"gyre\":[99999999999,2,3]"]
        {
            assert_eq!(scanner.find(text.as_bytes()), None, "{text}");
        }
    }
}
