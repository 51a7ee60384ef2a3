//! WebSocket frames on the hot path: parsing in the shared read buffer, headers for shared frames.
//!
//! tokio-tungstenite keeps buffers for each connection and copies each message into them; here an idle
//! connection holds none and a publication is framed once for all subscribers.
//!
//! Source: RFC 6455 §5, RFC 7692 §6.

use std::ops::Range;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Further part of a fragmented message.
    Continuation,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// End of the connection.
    Close,
    /// Question for life.
    Ping,
    /// Answer to a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Control frames may stand between fragments and hold at most 125 bytes.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Why a peer's bytes end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The peer broke the framing rules (close code 1002).
    #[error("websocket protocol error: {0}")]
    Protocol(&'static str),
    /// A text message is not UTF-8 (close code 1007).
    #[error("text message is not utf-8")]
    NotUtf8,
    /// A message is longer than allowed (close code 1009).
    #[error("message is longer than {limit} bytes")]
    TooBig {
        /// Allowed bytes of one message.
        limit: usize,
    },
    /// A compressed message is longer than allowed (close code 1009).
    #[error("message is longer than {limit} bytes after decompression")]
    TooBigInflated {
        /// Allowed bytes of one message after decompression.
        limit: usize,
    },
}

impl Violation {
    /// The code for the close frame.
    ///
    /// Source: RFC 6455 §7.4.1.
    pub fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotUtf8 => 1007,
            Self::TooBig { .. } | Self::TooBigInflated { .. } => 1009,
        }
    }

    /// The text for the close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooBigInflated { .. } => "message too big after decompression",
            _ => "",
        }
    }
}

/// One frame found in a buffer, already unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub opcode: Opcode,
    /// Last frame of its message.
    pub fin: bool,
    /// The message is compressed (first frame only).
    pub compressed: bool,
    /// Where the payload stands in the buffer.
    pub payload: Range<usize>,
    /// Bytes of the buffer this frame took.
    pub consumed: usize,
}

/// Finds the frame at the start of `buffer` and unmasks its payload in place.
///
/// Returns `None` when bytes are missing. `limit` bounds one payload; a larger declared length is
/// refused before any byte of it is waited for.
///
/// # Errors
/// [`Violation`] when the peer broke a rule.
pub fn parse(buffer: &mut [u8], limit: usize, compression: bool) -> Result<Option<Frame>, Violation> {
    if buffer.len() < 2 {
        return Ok(None);
    }
    let (first, second) = (buffer[0], buffer[1]);
    let opcode = Opcode::from_bits(first & 0x0F).ok_or(Violation::Protocol("unknown opcode"))?;
    let fin = first & 0x80 != 0;
    let compressed = first & 0x40 != 0;
    if first & 0x30 != 0
        || (compressed && (!compression || opcode.is_control() || opcode == Opcode::Continuation))
    {
        return Err(Violation::Protocol("reserved bit set"));
    }
    if second & 0x80 == 0 {
        return Err(Violation::Protocol("client frame is not masked"));
    }
    let short = usize::from(second & 0x7F);
    if opcode.is_control() && (!fin || short > 125) {
        return Err(Violation::Protocol("control frame is fragmented or too long"));
    }
    let (length, mask_at) = match short {
        126 => {
            let Some(bytes) = buffer.get(2..4) else { return Ok(None) };
            (u64::from(u16::from_be_bytes([bytes[0], bytes[1]])), 4)
        }
        127 => {
            let Some(bytes) = buffer.get(2..10) else { return Ok(None) };
            (u64::from_be_bytes(bytes.try_into().expect("eight bytes")), 10)
        }
        other => (other as u64, 2),
    };
    if length > limit as u64 && !opcode.is_control() {
        return Err(Violation::TooBig { limit });
    }
    let start = mask_at + 4;
    let end = start + length as usize;
    if buffer.len() < end {
        return Ok(None);
    }
    let mask = [buffer[mask_at], buffer[mask_at + 1], buffer[mask_at + 2], buffer[mask_at + 3]];
    unmask(&mut buffer[start..end], mask);
    Ok(Some(Frame { opcode, fin, compressed, payload: start..end, consumed: end }))
}

/// Applies the mask, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let word = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Longest header of a server frame.
pub const MAX_HEADER: usize = 10;

/// Appends the header of an unfragmented server frame.
pub fn write_header(out: &mut Vec<u8>, opcode: Opcode, compressed: bool, length: usize) {
    out.push(0x80 | if compressed { 0x40 } else { 0 } | opcode.bits());
    if length < 126 {
        out.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Writes the header of the message that stands in `buffer` behind [`MAX_HEADER`] bytes, right before it, and
/// says where it begins.
pub fn enclose(opcode: Opcode, compressed: bool, buffer: &mut [u8]) -> usize {
    let mut header = Vec::with_capacity(MAX_HEADER);
    write_header(&mut header, opcode, compressed, buffer.len() - MAX_HEADER);
    let start = MAX_HEADER - header.len();
    buffer[start..MAX_HEADER].copy_from_slice(&header);
    start
}

/// Longest reason a close frame can carry, in bytes.
pub const MAX_CLOSE_REASON: usize = 123;

/// Builds a close frame; `None` when the reason is too long to be sent.
pub fn close_frame(code: u16, reason: &str) -> Option<Vec<u8>> {
    if reason.len() > MAX_CLOSE_REASON {
        return None;
    }
    let mut out = Vec::with_capacity(4 + reason.len());
    write_header(&mut out, Opcode::Close, false, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    Some(out)
}

/// Builds a close frame without a code, the answer to one without a code.
pub fn empty_close_frame() -> Vec<u8> {
    let mut out = Vec::with_capacity(2);
    write_header(&mut out, Opcode::Close, false, 0);
    out
}

/// Reads a peer's close frame and returns the code to echo, if the frame holds one.
///
/// # Errors
/// [`Violation`] when the payload is one byte long, the code may not stand on the wire, or the reason is not UTF-8.
///
/// Source: RFC 6455 §7.4.
pub fn parse_close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::Protocol("close payload of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if !allowed {
                return Err(Violation::Protocol("close code may not be sent"));
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(Violation::NotUtf8);
            }
            Ok(Some(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut out = vec![first];
        match payload.len() {
            n if n < 126 => out.push(0x80 | n as u8),
            n if n < 65536 => {
                out.push(0x80 | 126);
                out.extend((n as u16).to_be_bytes());
            }
            n => {
                out.push(0x80 | 127);
                out.extend((n as u64).to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    #[test]
    fn frames_of_all_length_forms_come_back() {
        for length in [0, 1, 7, 8, 125, 126, 127, 65535, 65536] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut bytes = masked(0x82, &payload);
            let whole = bytes.len();
            for cut in [1, 2, 5, whole - 1] {
                if cut < whole {
                    assert_eq!(
                        parse(&mut bytes.clone()[..cut], 1 << 20, false),
                        Ok(None),
                        "{length} cut at {cut}"
                    );
                }
            }
            let frame = parse(&mut bytes, 1 << 20, false).unwrap().unwrap();
            assert_eq!(frame.consumed, whole);
            assert_eq!(&bytes[frame.payload], &payload[..]);
        }
    }

    #[test]
    fn declared_length_is_refused_before_its_bytes_arrive() {
        let mut bytes = vec![0x82, 0x80 | 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(parse(&mut bytes, 65536, false), Err(Violation::TooBig { limit: 65536 }));
    }

    #[test]
    fn rule_breakers_are_named() {
        for bytes in [
            vec![0x83, 0x80],
            vec![0x91, 0x80],
            vec![0xC1, 0x80],
            vec![0x81, 0x00],
            vec![0x09, 0x80],
            vec![0x89, 0x80 | 126],
        ] {
            assert!(
                matches!(parse(&mut bytes.clone(), 100, false), Err(Violation::Protocol(_))),
                "{bytes:x?}"
            );
        }
        assert!(parse(&mut masked(0xC1, b"x"), 100, true).unwrap().unwrap().compressed);
        assert!(parse(&mut masked(0xC9, b"x"), 100, true).is_err());
    }

    #[test]
    fn close_payloads_are_checked() {
        assert_eq!(parse_close(b""), Ok(None));
        assert_eq!(parse_close(&1000u16.to_be_bytes()), Ok(Some(1000)));
        for code in [0u16, 999, 1004, 1005, 1006, 1016, 2999, 5000, 65535] {
            assert!(parse_close(&code.to_be_bytes()).is_err(), "{code}");
        }
        assert_eq!(parse_close(&[0x03, 0xE8, 0xFF]), Err(Violation::NotUtf8));
        assert_eq!(close_frame(3500, &"x".repeat(124)), None);
        assert_eq!(close_frame(3500, "ab"), Some(vec![0x88, 4, 0x0D, 0xAC, b'a', b'b']));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), compression: bool) {
            if let Ok(Some(frame)) = parse(&mut bytes, 128, compression) {
                proptest::prop_assert!(frame.consumed <= bytes.len());
                proptest::prop_assert!(frame.payload.end == frame.consumed);
            }
        }
    }
}
