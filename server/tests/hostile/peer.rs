//! A client that need not behave.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;

/// Longest silence of a server.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A WebSocket connection, byte by byte.
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    /// Performs the handshake; `headers` are further lines, each with its line end.
    pub fn open(address: SocketAddr, headers: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        write!(
            stream,
            "GET /connection/websocket HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        )?;
        let mut peer = Self { stream, buffer: Vec::new() };
        while !peer.buffer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            peer.fill()?;
        }
        let end = peer.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |at| at + 4);
        let head: Vec<u8> = peer.buffer.drain(..end).collect();
        let upgraded = head.starts_with(b"HTTP/1.1 101");
        if upgraded { Ok(peer) } else { Err(io::Error::other(String::from_utf8_lossy(&head).into_owned())) }
    }

    /// Opens a connection, connects, and subscribes to `channel`.
    pub fn subscribed(address: SocketAddr, channel: &str) -> io::Result<Self> {
        let mut peer = Self::connected(address)?;
        peer.write(&frame(
            TEXT,
            true,
            format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#).as_bytes(),
        ))?;
        peer.expect("\"subscribe\"")?;
        Ok(peer)
    }

    /// Opens a connection and connects.
    pub fn connected(address: SocketAddr) -> io::Result<Self> {
        let mut peer = Self::open(address, "")?;
        peer.write(&frame(TEXT, true, br#"{"id":1,"connect":{}}"#))?;
        peer.expect("\"connect\"")?;
        Ok(peer)
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Writes what the server takes at once and says how much; zero when it takes nothing.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let written = self.stream.write(bytes);
        self.stream.set_nonblocking(false)?;
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// Ends our side.
    pub fn end(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads the next frame: its opcode and payload. `UnexpectedEof` at the end.
    pub fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, payload, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Ok((opcode, payload));
            }
            self.fill()?;
        }
    }

    /// Reads a text message and checks that it holds `text`.
    pub fn expect(&mut self, text: &str) -> io::Result<()> {
        let (opcode, payload) = self.read()?;
        let shown = String::from_utf8_lossy(&payload);
        if opcode == TEXT && shown.contains(text) {
            return Ok(());
        }
        Err(io::Error::other(format!("frame {opcode} {shown} instead of {text}")))
    }

    /// Reads and drops frames until the close frame; its code. Fails when there is none.
    pub fn close_code(&mut self) -> io::Result<u16> {
        loop {
            if let (CLOSE, payload) = self.read()? {
                return Ok(payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code)));
            }
        }
    }

    /// Asks a question and waits for its answer: the connection is alive and well.
    pub fn check_alive(&mut self) -> io::Result<()> {
        self.write(&frame(TEXT, true, br#"{"id":9,"unsubscribe":{"channel":"none"}}"#))?;
        self.expect(r#"{"id":9,"unsubscribe":{}}"#)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.buffer.extend_from_slice(&chunk[..length]);
                Ok(())
            }
        }
    }
}

/// A masked frame. The mask is zero, so the payload stands there as it is.
pub fn frame(opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(opcode, fin, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// The header of a frame that announces `length` bytes.
pub fn header(opcode: u8, fin: bool, length: u64) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | opcode];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes
}

fn parse(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        length => (usize::from(length), 2),
    };
    let payload = bytes.get(head..head + length)?.to_vec();
    Some((first & 15, payload, head + length))
}
