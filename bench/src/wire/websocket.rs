//! The part of RFC 6455 a load generator needs: the opening handshake and unfragmented frames.

use super::Protocol;
use anyhow::{Result, bail};

/// Frame opcodes of RFC 6455, section 5.2.
pub mod opcode {
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// The sample key of RFC 6455, section 1.3, and the answer every conforming server gives to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Every client frame is masked with this key: servers unmask as usual, and building a frame needs no random source.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Longest frame accepted from a server; a recovery reply of 10 000 publications fits.
const MAX_FRAME: u64 = 16 << 20;

/// Offers compression of single messages, the one kind whose cost a server can share between connections.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                     client_no_context_takeover\r\n";

/// Builds the request that opens a WebSocket, and offers compression with `deflate`.
pub fn upgrade_request(host: &str, path: &str, protocol: Protocol, deflate: bool) -> Vec<u8> {
    let subprotocol = match protocol {
        Protocol::Json => "",
        Protocol::Protobuf => "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n",
    };
    let offer = if deflate { OFFER } else { "" };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{subprotocol}{offer}\r\n"
    )
    .into_bytes()
}

/// Reads the answer to [`upgrade_request`]; returns its length once it is complete.
///
/// # Errors
/// When the server refused the upgrade or the compression, answered with a wrong accept key or with an extension that
/// was not offered.
pub fn parse_upgrade(bytes: &[u8], deflate: bool) -> Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        if bytes.len() > 64 << 10 {
            bail!("upgrade answer has no end within 64 KiB");
        }
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        bail!("upgrade refused: {status}");
    }
    let field = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    if field("sec-websocket-accept") != Some(ACCEPT) {
        bail!("upgrade answer lacks the right sec-websocket-accept");
    }
    match field("sec-websocket-extensions") {
        None if deflate => bail!("the server did not accept permessage-deflate"),
        Some(extension) if !deflate || !is_deflate_of_single_messages(extension) => {
            bail!("the server chose an extension that was not offered: {extension:?}")
        }
        _ => Ok(Some(end + 4)),
    }
}

fn is_deflate_of_single_messages(extension: &str) -> bool {
    let mut parts = extension.split(';').map(str::trim);
    parts.next() == Some("permessage-deflate") && parts.any(|part| part == "server_no_context_takeover")
}

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: u8,
    /// Whether the payload has to be inflated.
    pub compressed: bool,
    pub payload: &'a [u8],
    /// Bytes the frame occupies, header included.
    pub length: usize,
}

/// Reads the first frame in `bytes`, or returns `None` while it is incomplete.
///
/// # Errors
/// For masked, fragmented or oversized frames, and for compressed ones without `deflate`, none of which a server may
/// send to this client.
pub fn parse_frame(bytes: &[u8], deflate: bool) -> Result<Option<Frame<'_>>> {
    const FINAL: u8 = 0x80;
    const COMPRESSED: u8 = 0x40;
    const RESERVED: u8 = 0x70;
    let [first, second, ..] = *bytes else {
        return Ok(None);
    };
    let compressed = first & COMPRESSED != 0;
    let negotiated = if deflate { COMPRESSED } else { 0 };
    if first & RESERVED & !negotiated != 0 {
        bail!("frame with reserved bits {:#04x}, for which no extension was negotiated", first & RESERVED);
    }
    if first & FINAL == 0 || first & 0x0f == 0 {
        bail!("fragmented frame from the server");
    }
    if second & 0x80 != 0 {
        bail!("masked frame from the server");
    }
    let (header, payload) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(size) => (4, u64::from(u16::from_be_bytes([size[0], size[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|size| <[u8; 8]>::try_from(size).ok()) {
            Some(size) => (10, u64::from_be_bytes(size)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    if payload > MAX_FRAME {
        bail!("frame of {payload} bytes exceeds {MAX_FRAME}");
    }
    let length = header + payload as usize;
    Ok(bytes.get(header..length).map(|payload| Frame { opcode: first & 0x0f, compressed, payload, length }))
}

/// Appends one masked frame.
pub fn write_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        size @ 0..=125 => out.push(0x80 | size as u8),
        size @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_only_when_complete() {
        for size in [0usize, 5, 125, 126, 700, 70_000] {
            let mut bytes = vec![0x80 | opcode::TEXT];
            match size {
                0..=125 => bytes.push(size as u8),
                126..=0xffff => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(size as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend_from_slice(&(size as u64).to_be_bytes());
                }
            }
            bytes.resize(bytes.len() + size, b'a');
            for cut in [0, 1, 2, 3, 9, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(
                        parse_frame(&bytes[..cut], false).expect("valid so far"),
                        None,
                        "size {size} cut {cut}"
                    );
                }
            }
            let length = bytes.len();
            bytes.extend_from_slice(b"next");
            let frame = parse_frame(&bytes, false).expect("valid").expect("complete");
            assert_eq!((frame.opcode, frame.payload.len(), frame.length), (opcode::TEXT, size, length));
        }
    }

    #[test]
    fn frames_a_server_must_not_send_are_refused() {
        for bytes in [[0xc1, 0], [0x01, 0], [0x80, 0], [0x81, 0x80]] {
            assert!(parse_frame(&bytes, false).is_err(), "{bytes:?}");
        }
        assert!(parse_frame(&[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0], false).is_err());
        assert!(parse_frame(&[0xa1, 0], true).is_err());
        assert!(parse_frame(&[0xc1, 0], true).expect("negotiated").expect("complete").compressed);
    }

    #[test]
    fn an_upgrade_is_accepted_only_with_the_right_key() {
        let good = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n\r\nrest");
        assert_eq!(parse_upgrade(good.as_bytes(), false).expect("accepted"), Some(good.len() - 4));
        assert_eq!(parse_upgrade(&good.as_bytes()[..30], false).expect("incomplete"), None);
        assert!(parse_upgrade(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", false).is_err());
        assert!(parse_upgrade(b"HTTP/1.1 403 Forbidden\r\n\r\n", false).is_err());
    }

    #[test]
    fn compression_is_accepted_only_as_offered() {
        let answer = |extensions: &str| {
            format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n{extensions}\r\n")
        };
        let single = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n";
        let linked = "sec-websocket-extensions: permessage-deflate\r\n";
        assert!(parse_upgrade(answer(single).as_bytes(), true).is_ok());
        for (extensions, deflate) in [(single, false), (linked, true), ("", true)] {
            assert!(parse_upgrade(answer(extensions).as_bytes(), deflate).is_err(), "{extensions} {deflate}");
        }
    }
}
