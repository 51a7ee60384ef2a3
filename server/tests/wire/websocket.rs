//! A WebSocket client that shows frames as they are on the wire.
//!
//! Scenarios need to write frames no library would write and to see which opcode, bits and close payload the server
//! chose, so framing (RFC 6455) and permessage-deflate (RFC 7692) are done here, in a few lines each.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::write::{DeflateDecoder, DeflateEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{self, Response};
use crate::http2;
use crate::keys;
use crate::net::{self, Stream, Tls};

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// One frame as read from or written to the socket.
#[derive(Debug, Clone)]
pub struct Frame {
    pub fin: bool,
    /// Reserved bits as a three-bit number; 4 is RSV1, the mark of a compressed message.
    pub reserved: u8,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, reserved: 0, opcode, payload: payload.into() }
    }
}

/// A client end of a WebSocket connection.
pub struct WebSocket {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl WebSocket {
    /// Performs the handshake for a stream of an HTTP/2 connection; an answer other than 200 is returned as the
    /// error's response.
    pub async fn open_http2(
        address: &str,
        tls: Tls,
        target: &str,
        headers: &[(String, String)],
    ) -> Result<Result<(Self, Response), Response>, String> {
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-version")) {
            headers.push(("sec-websocket-version".to_owned(), "13".to_owned()));
        }
        let opened = http2::connect(address, tls, "websocket", target, &headers).await?;
        Ok(opened.map(|(stream, response)| (Self { stream, buffer: Vec::new() }, response)))
    }

    /// Performs the handshake; an answer other than 101 is returned as the error's response.
    pub async fn open(
        address: &str,
        tls: Tls,
        target: &str,
        headers: &[(String, String)],
    ) -> io::Result<Result<(Self, Response), Response>> {
        let mut stream = net::connect(address, tls).await?;
        let mut request = format!("GET {target} HTTP/1.1\r\n");
        let key = STANDARD.encode(keys::random::<16>());
        let defaults = [
            ("Host", address),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", &key),
        ];
        for (name, value) in defaults {
            if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                request.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::new();
        let mut response = http::read_head(&mut *stream, &mut buffer).await?;
        if response.status != 101 {
            http::read_body(&mut *stream, &mut buffer, &mut response).await?;
            return Ok(Err(response));
        }
        Ok(Ok((Self { stream, buffer }, response)))
    }

    /// Writes a masked frame.
    pub async fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = vec![u8::from(frame.fin) << 7 | frame.reserved << 4 | frame.opcode];
        match frame.payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = keys::random::<4>();
        bytes.extend_from_slice(&mask);
        bytes.extend(frame.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.write_raw(&bytes).await
    }

    /// Writes bytes below the framing.
    pub async fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads the next frame; `None` at the end of the connection, orderly or reset.
    pub async fn read(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((frame, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Ok(Some(frame));
            }
            let mut chunk = vec![0; 16 * 1024];
            match self.stream.read(&mut chunk).await {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, head): (usize, usize) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        length => (usize::from(length), 2),
    };
    let payload = bytes.get(head..head.checked_add(length)?)?.to_vec();
    let frame = Frame { fin: first & 0x80 != 0, reserved: first >> 4 & 7, opcode: first & 15, payload };
    Some((frame, head + length))
}

/// Compresses one message as permessage-deflate without context takeover does.
pub fn deflate(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(payload)?;
    encoder.flush()?;
    let mut bytes = encoder.get_ref().clone();
    if bytes.ends_with(&[0, 0, 0xff, 0xff]) {
        bytes.truncate(bytes.len() - 4);
    }
    Ok(bytes)
}

/// Inflates one message that was compressed without context takeover.
pub fn inflate(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoder = DeflateDecoder::new(Vec::new());
    decoder.write_all(payload)?;
    decoder.write_all(&[0, 0, 0xff, 0xff])?;
    decoder.flush()?;
    Ok(decoder.get_ref().clone())
}
